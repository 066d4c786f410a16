"""A model made ready to segment the cases of an evaluation, in labels that can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..language import tr
from ..options import RunOptions
from .cases import CasePair, by_names, in_labels_of, refuse_other_dimensions, require_images

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..families.base import SegmentationFamily
    from ..families.description import ModelDescription
    from ..inference.device import DeviceChoice
    from ..inference.picture import PictureSegmenter
    from ..inference.segmenter import Segmenter

REFERENCES_BY_NUMBER = tr(
    "Nothing names the labels of the references, so {}; if they mean something else, say what with "
    "--names."
)


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A model on its device, and the cases in its labels.

    Attributes:
        description: Description of the model.
        family: Networks of the model.
        choice: The device.
        pairs: The cases; references are read in the model's labels.
        names: Name of each label to compare.
        is_by_number: Whether nothing names the references' labels, so that numbers are compared.
    """

    description: ModelDescription
    family: SegmentationFamily
    choice: DeviceChoice
    pairs: tuple[CasePair, ...]
    names: dict[int, str]
    is_by_number: bool = False

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to say about the comparison as a whole."""
        if not self.is_by_number or self.is_for_pictures:
            return ()
        label, name = next(iter(self.names.items()))
        meaning = tr("label {label} is taken for the model's {name}, and so on").format(
            label=label, name=name
        )
        return (REFERENCES_BY_NUMBER.format(meaning),)

    @property
    def facts(self) -> dict[str, Any]:
        """Model and device, for reports."""
        identity = {
            "name": self.description.name,
            "version": self.description.version,
            "weights_sha256": self.description.weights_sha256,
        }
        matched = "number" if self.is_by_number else "name"
        return {"model": identity, "device": str(self.choice), "labels_matched_by": matched}

    @property
    def is_for_pictures(self) -> bool:
        """Whether the model segments 2-D pictures and not volumes."""
        return self.description.input.pictures is not None

    def segmenter(self, run: RunOptions) -> Segmenter:
        """The model with these options, for volumes."""
        from ..inference.segmenter import Segmenter

        return Segmenter(self.family, self.choice, run.batch, run.precision, run.mirror, run.steps)

    def picture_segmenter(self, run: RunOptions) -> PictureSegmenter:
        """The model with these options, for pictures.

        Raises:
            InputError: If mirrored slices are requested.
        """
        from ..inference.picture import PictureSegmenter

        if run.mirror:
            raise InputError(
                tr("Only models of volumes segment mirrored slices; leave mirroring off.")
            )
        return PictureSegmenter(self.family, self.choice, run.precision, run.steps)


def prepare_model(
    run: RunOptions, pairs: tuple[CasePair, ...], collection: Collection | None = None
) -> PreparedModel:
    """Load a model and check that it matches the cases.

    Args:
        run: Model, device and structures.
        pairs: The cases.
        collection: Data set of the cases, to compare the structures that it shares with the model.

    Raises:
        ModelError: If there is no such model or it is damaged.
        InputError: If a case has no image, if the model is for pictures and the cases are volumes
            or vice versa, or if there is no structure to compare.
    """
    from ..inference.device import choose_device
    from ..inference.selection import select_structures
    from ..models.folder import load_family
    from ..models.registry import default_model, find_model

    require_images(pairs)
    installed = find_model(run.model or default_model())
    description = installed.description
    refuse_other_dimensions(description, pairs)
    names = {item.label: item.name for item in description.structures}
    is_by_number = False
    if collection is not None:
        pairs, names = in_labels_of(description, collection, pairs)
    elif (named := by_names(description, pairs)) is not None:
        pairs, names = named
    else:
        is_by_number = True
    wanted = {item.label for item in select_structures(description.structures, run.structures)}
    names = {label: name for label, name in names.items() if label in wanted}
    if not names:
        raise InputError(
            tr("The data have none of the structures {structures}.").format(
                structures=", ".join(run.structures or ())
            )
        )
    family = load_family(installed.folder)
    choice = choose_device(run.device)
    return PreparedModel(description, family, choice, pairs, names, is_by_number)
