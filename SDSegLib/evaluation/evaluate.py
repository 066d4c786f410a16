"""Evaluate label maps of a model, of its autoencoder, or from a folder, against references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.nnunet import DESCRIPTION, structures_beside
from ..errors import InputError
from ..language import tr
from ..options import RunOptions
from ..reading.pictures import is_picture
from ..volume.geometry import Geometry
from ..volume.orientation import reorientation_to
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from ..volume.volume import Volume
from .cases import (
    CasePair,
    by_own_names,
    find_predictions,
    label_names,
    refuse_other_labels,
    refuse_other_numbers,
)
from .label_maps import on_grid
from .named_labels import NamedLabels, read_numbers
from .predictors import (
    Elsewhere,
    ElsewherePredictor,
    FolderPredictor,
    ModelPredictor,
    PicturePredictor,
    Prediction,
    Predictor,
)
from .prepared_model import REFERENCES_BY_NUMBER, prepare_model
from .scores import Rules, StructureScore, evaluate_pair
from .worst import ComparedCase, DisplayedCase, Snapshot, WorstResults

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..inference.progress import ProgressCallback

_PREDICTIONS_BY_NUMBER = tr(
    "Nothing names the labels of the predictions, so they are taken as in the references, {}; if "
    "they mean something else, name them in {}."
)

CaseReport = Callable[[int, str], None]
"""Called with the number of cases done and the name of the next."""


@dataclass(frozen=True)
class Options:
    """Options of evaluations and stability runs.

    Attributes:
        rules: How missing structures are counted.
        pictures: Number of worst results whose slices are stored.
        run: How a model segments the cases; always the whole case, without a region.
        report_case: Called before each case.
        report_slices: Called after each batch of slices that a model segments.
        elsewhere: Segments volumes on another computer, instead of a device of this one; of
            `evaluate_model` alone.
    """

    rules: Rules = field(default_factory=Rules)
    pictures: int = 0
    run: RunOptions = field(default_factory=RunOptions)
    report_case: CaseReport | None = None
    report_slices: ProgressCallback | None = None
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of all cases.

    Attributes:
        scores: For each case one score per structure, in the order of the names.
        snapshots: The worst results, the worst first.
        notes: Remarks on each case; cases without remarks are left out.
    """

    scores: dict[str, list[StructureScore]]
    snapshots: list[Snapshot]
    notes: dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class Result:
    """What was evaluated, and its scores.

    Attributes:
        title: Heading for reports.
        names: Name of each label that was compared.
        facts: What was evaluated, for `summary.json`.
        evaluation: The scores.
        remarks: On the comparison as a whole, one sentence each.
    """

    title: str
    names: Mapping[int, str]
    facts: dict[str, Any]
    evaluation: Evaluation
    remarks: tuple[str, ...] = ()


def evaluate_folder(
    data: Path,
    predictions: Path,
    pairs: tuple[CasePair, ...],
    options: Options,
    collection: Collection | None = None,
) -> Result:
    """Evaluate label maps in a folder.

    Args:
        data: The data folder.
        predictions: Folder with a label map for each case.
        pairs: The cases.
        options: Rules, pictures and progress.
        collection: Data set of the cases. Without it, structures have the names in or beside the
            references, or else their numbers.

    Raises:
        InputError: If a label map is missing or cannot be used.
    """
    files = find_predictions(predictions, pairs)
    structures: tuple[Structure, ...] = ()
    if collection is not None:
        structures = collection.structures
    elif (own := by_own_names(pairs)) is not None:
        pairs, structures = own
    compared = {item.label: item.name for item in structures}
    compared = compared or label_names(data, [pair.reference for pair in pairs])
    stored = structures if collection is None else collection.recipe.in_files(structures)
    read, remarks = _reader_of_predictions(files, predictions, structures, stored)
    predictor = FolderPredictor(files, options.pictures > 0, read)
    evaluation = evaluate_cases(pairs, predictor, compared, options)
    facts = {
        "evaluated": "predictions",
        "predictions": str(predictions),
        "model": None,
        "grid": "reference",
        "labels_matched_by": "number" if remarks else "name",
    }
    return Result(predictions.resolve().name, compared, facts, evaluation, remarks)


def _reader_of_predictions(
    files: Mapping[str, Path],
    folder: Path,
    structures: Sequence[Structure],
    stored: tuple[Structure, ...],
) -> tuple[Callable[[Path], Volume], tuple[str, ...]]:
    """A function that reads predictions in the references' labels, and what to say about it.

    Args:
        files: Prediction of each case.
        folder: Folder of the predictions.
        structures: Of the references, by the labels that are compared.
        stored: The same by their numbers in the files, which predictions without names share.

    Raises:
        InputError: If both name their structures and have none in common.
    """
    if len(structures) == 1 and any(is_picture(path) for path in files.values()):
        return read_numbers, ()  # a mask of 0 and 1, or of 0 and 255
    known = NamedLabels.of(files.values(), structures_beside(folder))
    known.refuse_some_without()
    named = known.structures()
    if not structures:
        return read_numbers, (REFERENCES_BY_NUMBER.format(tr("the same numbers are compared")),)
    if not named:
        meaning = ", ".join(
            tr("{item} for {item_name}").format(item=item.label, item_name=item.name)
            for item in stored
        )
        read = NamedLabels(known.files, stored, {}).reader(structures)
        return read, (_PREDICTIONS_BY_NUMBER.format(meaning, folder / DESCRIPTION),)
    if not common_labels(named, structures):
        raise InputError(
            tr(
                "The predictions in {folder} and the references have no structure in common: "
                "{named}; and {structures}."
            ).format(
                folder=folder,
                named=", ".join(item.name for item in named),
                structures=", ".join(item.name for item in structures),
            )
        )
    return known.reader(structures), ()


def evaluate_model(
    pairs: tuple[CasePair, ...], options: Options, collection: Collection | None = None
) -> Result:
    """Segment each case with a model and evaluate the label maps.

    Args:
        pairs: The cases.
        options: Options, which include the model.
        collection: Data set of the cases; the structures that it shares with the model are
            compared. Without it, labels have the model's meaning.

    Raises:
        ModelError: If there is no such model or it is damaged.
        InputError: If a case cannot be used.
    """
    from ..models.registry import default_model

    run, there = options.run, None
    here = run if options.elsewhere is None else replace(run, device="cpu")
    prepared = prepare_model(here, pairs, collection)
    predictor: Predictor
    if options.elsewhere is not None:
        if prepared.is_for_pictures:
            raise InputError(tr("A server segments volumes and no pictures; leave it out."))
        named = replace(run, model=run.model or default_model())
        predictor = there = ElsewherePredictor(
            prepared.description, named, options.elsewhere, options.report_slices
        )
    elif prepared.is_for_pictures:
        predictor = PicturePredictor(prepared.picture_segmenter(run), run.samples)
    else:
        predictor = ModelPredictor(prepared.segmenter(run), run, options.report_slices)
    evaluation = evaluate_cases(prepared.pairs, predictor, prepared.names, options)
    facts = {
        "evaluated": "model",
        **prepared.facts,
        "mirror": run.mirror,
        "samples": run.samples,
        "steps": run.steps,
        "grid": "reference",
    }
    if there is not None:
        facts["device"] = ", ".join(sorted(there.devices))
    title = prepared.description.title
    return Result(title, prepared.names, facts, evaluation, prepared.remarks)


def evaluate_autoencoder(
    pairs: tuple[CasePair, ...], options: Options, collection: Collection | None = None
) -> Result:
    """Encode and decode the references with a compact model's label-map autoencoder, and compare.

    Args:
        pairs: The cases.
        options: Options, which include the model; of `run`, only the model and device are used.
        collection: Data set of the cases; its labels must have the model's meaning.

    Raises:
        ModelError: If there is no such model, it is damaged, or it is of another family.
        InputError: If a case cannot be used.
    """
    from .reconstruction import AutoencoderComparison, compact_only

    prepared = prepare_model(options.run, pairs)
    if collection is not None:
        refuse_other_labels(prepared.description, collection)
    family = compact_only(prepared.family).to(prepared.choice.device)
    compare = AutoencoderComparison(family, collection)
    if collection is None:  # the references are read as they are stored
        refuse_other_numbers(prepared.description, pairs)
    evaluation = _evaluate(pairs, compare, prepared.names, options)
    facts = {"evaluated": "autoencoder", **prepared.facts, "grid": "model"}
    title = f"{prepared.description.title}, label-map autoencoder alone"
    return Result(title, prepared.names, facts, evaluation)


def evaluate_cases(
    pairs: tuple[CasePair, ...], predict: Predictor, names: Mapping[int, str], options: Options
) -> Evaluation:
    """Compare a label map of each case with its reference, on the reference's grid.

    Args:
        pairs: The cases; one is in memory at a time.
        predict: Returns the label map of a case.
        names: Name of each label to compare.
        options: Rules, pictures and progress.

    Raises:
        InputError: If a file cannot be used.
    """

    def compare(pair: CasePair) -> ComparedCase:
        compared = _on_reference(pair, predict(pair))
        compared.notes.extend(unknown_structures(pair, names))
        if options.run.structures is None:
            compared.notes.extend(_other_labels(compared.reference, names))
        return compared

    return _evaluate(pairs, compare, names, options)


def _evaluate(
    pairs: tuple[CasePair, ...],
    compare: Callable[[CasePair], ComparedCase],
    names: Mapping[int, str],
    options: Options,
) -> Evaluation:
    worst = WorstResults(options.pictures)
    scores, notes = {}, {}
    for done, pair in enumerate(pairs):
        if options.report_case is not None:
            options.report_case(done, pair.name)
        case = compare(pair)
        scores[pair.name] = evaluate_pair(
            case.prediction,
            case.reference,
            case.spacing,
            list(names),
            options.rules,
            case.distances,
            pair.unknown,
        )
        if options.pictures:
            displayed = case.displayed()
            for score in scores[pair.name]:
                worst.add(displayed, names[score.label], score)
        if case.notes:
            notes[pair.name] = case.notes
    return Evaluation(scores, worst.snapshots, notes)


def _on_reference(pair: CasePair, prediction: Prediction) -> ComparedCase:
    reference = pair.read_reference(pair.reference)
    notes = [*prediction.notes, *prediction.label_map.notes]
    notes += [tr("The reference: {note}").format(note=note) for note in reference.notes]
    label_map, is_resampled = on_grid(prediction.label_map, reference.geometry)
    if is_resampled:
        notes.append(
            tr(
                "The prediction is on another grid than the reference; it was resampled there by "
                "nearest neighbour, which costs accuracy at its surface."
            )
        )
    return ComparedCase(
        prediction=label_map,
        reference=reference.array,
        spacing=_array_spacing(reference.geometry),
        displayed=lambda: _displayed(pair.name, prediction, label_map, reference),
        distances=not pair.is_2d,
        notes=notes,
    )


def _array_spacing(geometry: Geometry) -> tuple[float, float, float]:
    i, j, k = geometry.spacing
    return k, j, i


def unknown_structures(pair: CasePair, names: Mapping[int, str]) -> list[str]:
    """A remark on structures that are compared and of which a reference says nothing."""
    unknown = [name for label, name in names.items() if label in pair.unknown]
    if not unknown:
        return []
    return [
        tr("The reference has no mask of {unknown}, so this is unknown there.").format(
            unknown=", ".join(unknown)
        )
    ]


def _other_labels(reference: np.ndarray, names: Mapping[int, str]) -> list[str]:
    """A remark on labels of the reference that are not compared."""
    others = [int(v) for v in np.unique(reference) if v and int(v) not in names]
    if not others:
        return []
    shown = ", ".join(str(label) for label in others)
    return [tr("The reference has labels that are not compared: {shown}.").format(shown=shown)]


def _displayed(
    name: str, prediction: Prediction, label_map: np.ndarray, reference: Volume
) -> DisplayedCase:
    turn = reorientation_to(reference.geometry, "LPS")
    image = None
    if prediction.picture is not None:
        image = prediction.picture[None]
    elif prediction.image is not None:
        image = turn.apply(on_grid(prediction.image, reference.geometry)[0])
    return DisplayedCase(
        name=name,
        image=image,
        reference=turn.apply(reference.array),
        prediction=turn.apply(label_map),
        spacing=turn.spacing(reference.geometry),
    )
