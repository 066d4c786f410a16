"""Evaluations as a user asks for them: of a model, of its autoencoder, of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .collections import in_labels_of, refuse_other_dimensions, refuse_other_labels
from .names import label_names
from .pairs import CasePair, find_predictions, require_images
from .predictors import FolderPredictor, ModelPredictor, PicturePredictor, Predictor
from .run import CaseReport, Evaluation, evaluate_cases
from .scores import Rules

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..families.description import ModelDescription
    from ..inference.progress import ProgressCallback


@dataclass(frozen=True)
class Options:
    """What all evaluations have in common.

    Attributes:
        rules: How missing structures are counted.
        pictures: Of how many of the worst results to keep slices.
        device: "auto", "cuda", "mps" or "cpu".
        mirror: Whether a model of volumes looks at mirrored slices as well.
        samples: Noises to average over.
        steps: UNet calls of the reverse process.
        report_case: Told the number of cases done and the name of the next.
        report_slices: Told of each batch of slices that a model segments.
    """

    rules: Rules
    pictures: int = 0
    device: str = "auto"
    mirror: bool = False
    samples: int = 1
    steps: int = 1
    report_case: CaseReport | None = None
    report_slices: ProgressCallback | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What was evaluated, and its scores.

    Attributes:
        title: What to call it.
        names: Name of each label that was compared.
        facts: What was evaluated, for `summary.json`.
        evaluation: The scores.
    """

    title: str
    names: Mapping[int, str]
    facts: dict[str, Any]
    evaluation: Evaluation


def evaluate_folder(
    data: Path,
    predictions: Path,
    pairs: tuple[CasePair, ...],
    options: Options,
    names: Mapping[int, str] | None = None,
) -> Result:
    """Evaluate label maps that lie in a folder; without `names`, `data` says what they are called.

    Raises:
        InputError: If one is missing or cannot be used.
    """
    files = find_predictions(predictions, pairs)
    names = names or label_names(data, [pair.reference for pair in pairs])
    evaluation = evaluate_cases(
        pairs,
        FolderPredictor(files, with_images=options.pictures > 0),
        names,
        options.rules,
        options.pictures,
        options.report_case,
    )
    facts = {
        "evaluated": "predictions",
        "predictions": str(predictions),
        "model": None,
        "grid": "reference",
    }
    return Result(predictions.resolve().name, names, facts, evaluation)


def evaluate_model(
    model: str,
    pairs: tuple[CasePair, ...],
    options: Options,
    collection: Collection | None = None,
) -> Result:
    """Segment each case with a model, given by name or folder, and evaluate the label maps.

    Args:
        model: Which.
        pairs: The cases.
        options: How.
        collection: That the cases belong to; then the structures that it and the model have in
            common are compared. Without it, labels have the model's meaning.

    Raises:
        ModelError: If there is no such model or it is damaged.
        InputError: If a case cannot be used.
    """
    from ..inference.device import choose_device
    from ..inference.picture import PictureSegmenter
    from ..inference.segmenter import Segmenter
    from ..models.folder import load_family
    from ..models.registry import find_model

    require_images(pairs)
    installed = find_model(model)
    names = names_of(installed.description)
    refuse_other_dimensions(installed.description, pairs)
    if collection is not None:
        pairs, names = in_labels_of(installed.description, collection, pairs)
    family, choice = load_family(installed.folder), choose_device(options.device)
    predictor: Predictor
    if installed.description.input.pictures is not None:
        if options.mirror:
            raise InputError("Only models of volumes look at mirrored slices; leave mirroring off.")
        predictor = PicturePredictor(
            PictureSegmenter(family, choice, steps=options.steps), options.samples
        )
    else:
        segmenter = Segmenter(family, choice, mirror=options.mirror, steps=options.steps)
        predictor = ModelPredictor(segmenter, options.report_slices, options.samples)
    evaluation = evaluate_cases(
        pairs,
        predictor,
        names,
        options.rules,
        options.pictures,
        options.report_case,
    )
    facts = {
        "evaluated": "model",
        "model": identity(installed.description),
        "device": str(choice),
        "mirror": options.mirror,
        "samples": options.samples,
        "steps": options.steps,
        "grid": "reference",
    }
    return Result(installed.description.title, names, facts, evaluation)


def evaluate_autoencoder_of(
    model: str,
    pairs: tuple[CasePair, ...],
    options: Options,
    collection: Collection | None = None,
) -> Result:
    """Evaluate what a compact model's label-map autoencoder keeps of the references.

    The labels of a collection must have the model's meaning.

    Raises:
        ModelError: If there is no such model, it is damaged, or of another family.
        InputError: If a case cannot be used.
    """
    from ..inference.device import choose_device
    from ..models.folder import load_family
    from ..models.registry import find_model
    from .reconstruction import compact_only, evaluate_autoencoder

    installed = find_model(model)
    choice = choose_device(options.device)
    family = compact_only(load_family(installed.folder)).to(choice.device)
    names = names_of(installed.description)
    if collection is not None:
        refuse_other_labels(installed.description, collection)
    evaluation = evaluate_autoencoder(
        pairs, family, names, options.rules, options.pictures, options.report_case, collection
    )
    facts = {
        "evaluated": "autoencoder",
        "model": identity(installed.description),
        "device": str(choice),
        "grid": "model",
    }
    title = f"{installed.description.title}, label-map autoencoder alone"
    return Result(title, names, facts, evaluation)


def names_of(description: ModelDescription) -> dict[int, str]:
    """Name of each label of a model."""
    return {item.label: item.name for item in description.structures}


def identity(description: ModelDescription) -> dict[str, str]:
    """Which model it is, for the facts of a report."""
    return {
        "name": description.name,
        "version": description.version,
        "weights_sha256": description.weights_sha256,
    }
