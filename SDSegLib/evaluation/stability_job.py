"""A stability run as a user asks for it: of a model, on the cases of a folder or a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .collections import in_labels_of, refuse_other_dimensions
from .jobs import identity, names_of
from .pairs import CasePair, require_images
from .scores import Rules
from .similarity import learned_distance
from .stability import CaseStability, judge_case

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..inference.progress import ProgressCallback
    from .run import CaseReport
    from .samplers import Sampler


@dataclass(frozen=True)
class StabilityOptions:
    """How to run a model.

    Attributes:
        samples: Noises; the first is the model's stored one.
        steps: UNet calls of the reverse process.
        device: "auto", "cuda", "mps" or "cpu".
        rules: How structures are counted that a reference lacks.
        report_case: Told the number of cases done and the name of the next.
        report_slices: Told of each batch of slices.
    """

    samples: int
    steps: int = 1
    device: str = "auto"
    rules: Rules | None = None
    report_case: CaseReport | None = None
    report_slices: ProgressCallback | None = None


@dataclass(frozen=True, eq=False)
class StabilityResult:
    """What was judged.

    Attributes:
        title: The model's.
        names: Name of each label that was compared.
        facts: What was judged, for `stability.json`.
        cases: At least one.
    """

    title: str
    names: Mapping[int, str]
    facts: dict[str, Any]
    cases: list[CaseStability]


def judge_model(
    model: str,
    pairs: tuple[CasePair, ...],
    options: StabilityOptions,
    collection: Collection | None = None,
) -> StabilityResult:
    """Segment each case with several noises, and compare them with truth and each other.

    Args:
        model: Name or folder.
        pairs: The cases.
        options: How.
        collection: That the cases belong to; as for `jobs.evaluate_model`.

    Raises:
        ModelError: If there is no such model or it is damaged.
        InputError: If a case cannot be used.
    """
    from ..inference.device import choose_device
    from ..inference.picture import PictureSegmenter
    from ..inference.segmenter import Segmenter
    from ..models.folder import load_family
    from ..models.registry import find_model
    from .samplers import PictureSampler, VolumeSampler

    require_images(pairs)
    installed = find_model(model)
    description, names = installed.description, names_of(installed.description)
    refuse_other_dimensions(description, pairs)
    if collection is not None:
        pairs, names = in_labels_of(description, collection, pairs)
    family, choice = load_family(installed.folder), choose_device(options.device)
    sampler: Sampler
    if description.input.pictures is not None:
        flat = PictureSegmenter(family, choice, steps=options.steps)
        sampler = PictureSampler(flat, options.samples)
    else:
        segmenter = Segmenter(family, choice, steps=options.steps)
        sampler = VolumeSampler(segmenter, options.samples, options.report_slices)
    perceptual = learned_distance(choice.device)
    judged = []
    for done, pair in enumerate(pairs):
        if options.report_case is not None:
            options.report_case(done, pair.name)
        judged.append(judge_case(sampler, pair, list(names), options.rules, perceptual))
    facts = {"model": identity(description), "device": str(choice), "steps": options.steps}
    return StabilityResult(description.title, names, facts, judged)
