"""The operation `segment`: all structures of a model in a volume."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SDSegError
from ..inference.progress import Progress, ProgressCallback
from ..language import tr
from ..options import RunOptions
from ..volume.checks import check_usable
from ..volume.doubt import SliceDoubt
from ..volume.finding import Finding
from ..volume.judgement import (
    Measurements,
    judge_input,
    judge_quality,
    judge_region,
    judge_result,
    measure,
    refuse,
    refuse_unusable,
)
from ..volume.region import Region
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from ..volume.volume import Volume
from .base import Answer, ArraySpec, IsCancelled, OpenVolume, Operation, Prepared

if TYPE_CHECKING:
    from ..inference.segmenter import Segmenter
    from ..models.registry import InstalledModel
    from .model_store import ModelStore

SAME_AGAIN = tr("The volume and all settings are those of the run before, so its result was used.")


@dataclass(frozen=True)
class SegmentOperation(Operation[Segmentation]):
    """Segment a volume.

    Attributes:
        options: Options of the run.
    """

    options: RunOptions

    name = "segment"
    verb = tr("segmenting")

    def parameters(self) -> dict[str, Any]:
        return self.options.to_json()

    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        spec = ArraySpec(volume.array.shape, "|u1")
        names = ["label_map"] + (["instability"] if self.options.samples > 1 else [])
        return dict.fromkeys(names, spec)

    def result(
        self, volume: Volume, values: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Segmentation:
        region = values["region"]
        return Segmentation(
            label_map=arrays["label_map"],
            geometry=volume.geometry,
            structures=tuple(Structure.from_json(item) for item in values["structures"]),
            model=values["model"],
            instability=arrays.get("instability"),
            samples=values["samples"],
            region=None if region is None else Region.from_json(region),
            doubt=SliceDoubt.from_json(values["doubt"]),
        )

    @classmethod
    def received(
        cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> SegmentOperation:
        return cls(RunOptions.from_json(parameters))

    def check(self) -> None:
        self.options.check()

    @classmethod
    def prepare(cls, parameters: dict[str, Any], models: ModelStore) -> Prepared:
        options = RunOptions.from_json(parameters)
        if options.model is None:  # chosen after the volume has arrived
            return Prepared(warm=models.import_pipeline())
        model = models.find(options.model)
        models.import_pipeline()
        is_warm = models.has_segmenter(model, options.device)
        segmenter = models.segmenter(model, options.device)
        segmenter.check(options)
        return Prepared(model.description.name, str(segmenter.choice), is_warm)

    def run(
        self,
        opened: OpenVolume,
        models: ModelStore,
        outputs: dict[str, np.ndarray],
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Answer:
        from ..inference.selection import select_structures

        findings = self.judge(opened, models)
        refuse(findings)
        model = self.model_for(opened, models)
        expects = model.description.expects
        started, is_warm = time.monotonic(), models.has_segmenter(model, self.options.device)
        segmenter = models.segmenter(model, self.options.device)
        load_seconds = 0.0 if is_warm else time.monotonic() - started
        segmenter.check(self.options)
        whole = self._whole(opened, models, model, segmenter, report, is_cancelled)
        wanted = select_structures(model.description.structures, self.options.structures)
        result = with_structures(whole, wanted)
        outputs["label_map"][...] = result.label_map
        if result.instability is not None:
            outputs["instability"][...] = result.instability
        assert result.doubt is not None
        return Answer(
            values={
                "structures": [structure.to_json() for structure in result.structures],
                "model": result.model,
                "samples": result.samples,
                "region": None if result.region is None else result.region.to_json(),
                "doubt": result.doubt.to_json(),
                "precision": segmenter.precision_of(self.options),
            },
            model=result.model,
            device=str(segmenter.choice),
            findings=(
                *findings,
                *judge_region(self.options.region, whole),
                *judge_result(whole, expects),
                *judge_quality(model.description.figures, wanted),
            ),
            load_seconds=load_seconds,
        )

    def model_for(self, opened: OpenVolume, models: ModelStore) -> InstalledModel:
        """The requested model, or else the one that fits the volume best.

        Raises:
            SDSegError: If there is none.
        """
        if self.options.model is not None:
            return models.find(self.options.model)
        from ..models.fit import choose_model
        from ..models.registry import list_models

        installed, _ = list_models()
        known = tuple(model.identity for model in installed)
        last_known, chosen = opened.kept.get("model", (None, None))
        if chosen is None or last_known != known:
            refuse_unusable(opened.volume)  # before its appearance is measured
            chosen = choose_model(opened.volume, installed, _measured(opened)).model
            opened.kept["model"] = (known, chosen)
        return chosen

    def with_model_for(self, opened: OpenVolume, models: ModelStore) -> SegmentOperation:
        if self.options.model is not None:
            return self
        model = str(self.model_for(opened, models).folder)
        return replace(self, options=replace(self.options, model=model))

    def judge(self, opened: OpenVolume, models: ModelStore) -> tuple[Finding, ...]:
        """Findings against segmenting the volume with the model, the most severe first.

        They are computed once for each volume and model.

        Raises:
            SDSegError: If there is no such model, or none for this kind of image.
        """
        model = self.model_for(opened, models)
        key = ("judged", model.identity)
        if key not in opened.kept:
            opened.kept[key] = judge_input(
                opened.volume, model.description.expects, _measured(opened)
            )
        return opened.kept[key]

    def _whole(
        self,
        opened: OpenVolume,
        models: ModelStore,
        model: InstalledModel,
        segmenter: Segmenter,
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Segmentation:
        """All structures, computed unless the last run on this volume had the same settings."""
        options = replace(self.options, structures=None)
        key = (model.identity, options)
        last_key, last = opened.kept.get(self.name, (None, None))
        if last is not None and last_key == key:
            slices = len(opened.volume.array)
            report(Progress("segment", slices, slices, 0.0, SAME_AGAIN))
            return last
        opened.kept.pop(self.name, None)
        device = segmenter.choice.device
        try:
            result = segmenter.segment_with(opened.volume, options, report, is_cancelled)
        except SDSegError:
            if segmenter.ran_short:  # the next run starts with the usual batch
                models.forget_segmenter(model, self.options.device)
            raise
        finally:
            if segmenter.choice.device != device:  # the next run tries the wanted device again
                models.forget_segmenter(model, self.options.device)
        if segmenter.choice.device == device:
            opened.kept[self.name] = (key, result)
        return result


def _measured(opened: OpenVolume) -> Measurements | None:
    """Measurements of a volume, computed once; None if it cannot be used."""
    if "measured" not in opened.kept:
        is_usable = not check_usable(opened.volume)
        opened.kept["measured"] = measure(opened.volume) if is_usable else None
    return opened.kept["measured"]


def with_structures(segmentation: Segmentation, structures: tuple[Structure, ...]) -> Segmentation:
    """The segmentation with these structures only; voxels of the others become background.

    It equals the result of `Segmenter.segment` for these structures, since a structure does not
    depend on which others are requested.
    """
    if structures == segmentation.structures:
        return segmentation
    kept = np.zeros(256, np.uint8)
    for item in structures:
        kept[item.label] = item.label
    doubt = segmentation.doubt
    if doubt is not None:
        doubt = doubt.of([segmentation.structures.index(item) for item in structures])
    labels = kept[segmentation.label_map]
    return replace(segmentation, label_map=labels, structures=structures, doubt=doubt)
