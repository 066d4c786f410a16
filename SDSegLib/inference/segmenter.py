"""The pipeline: volume → slices → latents → label map, in batches, on one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from ..errors import SDSegError
from ..families.base import SegmentationFamily
from ..families.description import ModelDescription
from ..language import tr
from ..options import RunOptions, structure_names
from ..volume.calibration import Calibration
from ..volume.doubt import SliceDoubt
from ..volume.judgement import refuse_unusable
from ..volume.region import Region
from ..volume.segmentation import Segmentation
from ..volume.sides import mirrored_axis, mirrored_labels
from ..volume.slices import apply_windows, context_range, with_context
from ..volume.structure import Structure
from ..volume.tiles import crop_tiles, tiles_of, tissue_extents
from ..volume.volume import Volume
from .connected_components import remove_small_components
from .device import DeviceChoice, choose_precision, computing_with, is_out_of_memory
from .grids import Canvas, PlaneGrids, ResampledPlanes, restored, restored_labels
from .progress import ProgressCallback, SliceCounter
from .samples import (
    Reduce,
    average_of,
    background,
    calibrated,
    check_steps,
    expected_dice,
    expected_errors,
    instability_of,
    noises_of,
)
from .selection import select_structures
from .volume_task import VolumeTask

log = logging.getLogger(__name__)

OnSlice = Callable[[int, Tensor, PlaneGrids], None]
"""Receives the number of a slice in the box, its values (channels, h, w) on the needed part of the
model's grid, and the resampling matrices to the voxels of the box. After a restart with less memory
a slice is passed again; the last call is valid."""


@dataclass(frozen=True)
class _Pass:
    """Values that are the same for all slices of one run."""

    task: VolumeTask
    options: RunOptions
    number_type: torch.dtype
    mirror: Mirror | None
    reduce: Reduce
    empty: Tensor
    on_slice: OnSlice
    counter: SliceCounter


class Segmenter:
    """A model on a device, ready for volumes.

    The same volume on the same device always gives the same label map: with one sample the only
    noise is the model's own stored z_T, and the others come from a fixed seed. Memory beyond the
    input and the uint8 results is bounded by `batch` slices, however many the volume has.

    Args:
        family: The model's networks.
        choice: Where to compute.
        batch: Slices computed together; halved automatically when memory runs short.
        precision: Number type of the networks: "float32", "float16", "bfloat16", or "auto", which
            is float32. Estimates of z0 and probabilities are always float32.
        mirror: Average the class probabilities of each slice with those of its mirror image; twice
            the work.
        steps: UNet calls of the reverse process (DDIM), for comparison with the single step.

    Attributes:
        options: Defaults of a run: the arguments above.
        batch: Slices computed together in the current or next run.
        ran_short: Whether memory ran short in the current or last run.
        free_memory: Called when memory runs short, before the batch is halved; returns whether it
            could free any.

    Raises:
        InputError: If the precision is unknown or the device does not compute with it, if slices
            of this model cannot be mirrored, or if it cannot take so many steps.
    """

    def __init__(
        self,
        family: SegmentationFamily,
        choice: DeviceChoice,
        batch: int | None = None,
        precision: str = "auto",
        mirror: bool = False,
        steps: int = 1,
    ) -> None:
        self.description = family.description
        self.choice = choice
        self.options = RunOptions(batch=batch, precision=precision, mirror=mirror, steps=steps)
        self.family = family.eval().requires_grad_(False)
        self.check(self.options)
        self.family.to(choice.device)
        self.batch = batch or self.family.default_batch(self.choice.device.type)
        self.ran_short = False
        self.free_memory: Callable[[], bool] = lambda: False
        self._largest_batch: int | None = None  # that fits in memory, once it ran short

    @property
    def precision(self) -> str:
        """Default number type of the networks: "float32", "float16" or "bfloat16"."""
        return self.precision_of(self.options)

    def precision_of(self, options: RunOptions) -> str:
        """Number type of the networks in a run: "float32", "float16" or "bfloat16"."""
        return str(choose_precision(options.precision, self.choice.device)).removeprefix("torch.")

    def check(self, options: RunOptions) -> None:
        """Check that this model on this device can run with these options.

        Raises:
            InputError: Naming the option, its value and what is possible.
        """
        options.check()
        check_steps(self.family, options.steps)
        choose_precision(options.precision, self.choice.device)
        if options.mirror:
            Mirror(self.description, self.choice.device)
        select_structures(self.description.structures, options.structures)

    def segment(
        self,
        volume: Volume,
        structures: str | Sequence[str] | None = None,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        samples: int = 1,
        region: Region | None = None,
        probabilities: bool = False,
    ) -> Segmentation:
        """Segment a volume, or a box of it.

        Args:
            volume: Any orientation, spacing and size; HU.
            structures: Names or ids of the structures wanted, in any case; None for all. Voxels of
                the others become background, so a requested structure does not depend on which
                others are requested.
            report: Receives the progress of each batch.
            is_cancelled: Called between batches.
            samples: Noise samples to average. The image is encoded once; each sample costs one
                reverse step and one decoding. More than one give `Segmentation.instability`: the
                probability, according to the model, that the labels of two samples differ at a
                voxel. A voxel is unstable because each sample is uncertain there or because the
                samples contradict each other; a model that hardly depends on the noise shows the
                former alone. Errors of which the model is certain do not show.
            region: Only this box, as far as it lies in the volume. The networks also receive the
                tissue around it, so voxels in it get the labels that the whole volume gives them;
                all others become background. The time depends on the slices in the box only.
                Components that are cut by the box are never removed as too small.
            probabilities: Also give `Segmentation.probabilities`, which takes 4 bytes per voxel
                and class.

        Returns:
            uint8 label map on exactly the volume's grid.

        Raises:
            InputError: Unknown structure, unusable volume, region outside it, or samples that are
                not 1 … 64.
            CancelledError: Once `is_cancelled` returns True.
            SDSegError: If memory is too small even for one slice on the CPU.
        """
        options = self.options.with_changes(
            structures=structure_names(structures), samples=samples, region=region
        )
        return self.segment_with(volume, options, report, is_cancelled, probabilities)

    def segment_with(
        self,
        volume: Volume,
        options: RunOptions,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        probabilities: bool = False,
    ) -> Segmentation:
        """As `segment`, with all options of the run in one object.

        `options.model` and `options.device` have been used to make this segmenter and are ignored.
        """
        self.check(options)
        refuse_unusable(volume)
        wanted = select_structures(self.description.structures, options.structures)
        samples, classes = options.samples, self.family.num_classes
        task = VolumeTask.of(volume, self.description.input.axes, options.region)
        labels = torch.zeros(task.box.shape, dtype=torch.uint8, device=self.choice.device)
        unsure = torch.zeros_like(labels) if samples > 1 else None
        whole = shares = None
        if probabilities:
            whole = np.zeros((classes, *volume.array.shape), np.float32)
            whole[0] = 1  # also outside the box
            shares = [task.turn.apply(plane)[task.box.slices()] for plane in whole]

        calibration = self.description.uncertainty
        wrong = SliceExpectations(classes, task, calibration)

        def keep(place: int, values: Tensor, grids: PlaneGrids) -> None:
            wrong.keep(place, values[:classes])
            labels[place] = restored_labels(values[:classes], grids)
            if unsure is not None:
                unsure[place] = instability_of(restored(values[classes:], grids)[0])
            if shares is not None:
                chances = calibrated(restored(values[:classes], grids), calibration)
                for share, plane in zip(shares, chances, strict=True):
                    share[place] = plane.cpu().numpy()

        empty = background(classes, samples)
        self.run(task, options, average_of, empty, keep, report, is_cancelled)
        return Segmentation(
            label_map=self.finished(task, labels.cpu().numpy(), wanted),
            geometry=volume.geometry,
            structures=wanted,
            model=f"{self.description.name} {self.description.version}",
            instability=None if unsure is None else task.on_volume(unsure.cpu().numpy()),
            samples=samples,
            region=None if options.region is None else task.region,
            probabilities=whole,
            doubt=wrong.on_volume(self.description, wanted),
        )

    def finished(
        self, task: VolumeTask, labels: np.ndarray, wanted: tuple[Structure, ...]
    ) -> np.ndarray:
        """Label map of the volume from that of the box, without other structures and small parts.

        `labels` is modified.
        """
        remove_small_components(labels, wanted, task.continues_beyond)
        if len(wanted) < len(self.description.structures):
            keep = np.zeros(256, np.uint8)
            for item in wanted:
                keep[item.label] = item.label
            for plane in labels:
                if plane.any():
                    plane[...] = keep[plane]
        return task.on_volume(labels)

    def run(
        self,
        task: VolumeTask,
        options: RunOptions,
        reduce: Reduce,
        empty: Tensor,
        on_slice: OnSlice,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Run the networks on the slices of a box; with a smaller batch if memory runs short.

        Args:
            task: The box.
            options: Samples, steps, mirroring, precision and batch of the run.
            reduce: Function from the samples' probabilities to the channels to keep.
            empty: Values of these channels for pixels of air, on which no network runs.
            on_slice: Receives the slices that hold tissue.
            report: Receives the progress of each batch.
            is_cancelled: Asked between batches.
        """
        self.batch = options.batch or self.family.default_batch(self.choice.device.type)
        self.ran_short = False
        if self._largest_batch is not None:
            self.batch = min(self.batch, self._largest_batch)
        counter = SliceCounter(task.box.shape[0], report, is_cancelled)
        while True:
            device = self.choice.device
            run = _Pass(
                task=task,
                options=options,
                number_type=choose_precision(options.precision, device),
                mirror=Mirror(self.description, device) if options.mirror else None,
                reduce=reduce,
                empty=empty.to(device),
                on_slice=on_slice,
                counter=counter,
            )
            try:
                self._run_batches(run)
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                counter.restart(self._use_less_memory())
                if self.choice.device != device:
                    options = options.with_changes(precision="float32")

    def _use_less_memory(self) -> str:
        self.ran_short = True
        if self.free_memory():
            message = tr("Memory ran short; other models were freed.")
        elif self.batch > 1:
            self.batch = self._largest_batch = self.batch // 2
            message = tr("Memory ran short; going on with {batch} slices at a time.").format(
                batch=self.batch
            )
        elif self.choice.device.type != "cpu":
            gone = self.choice.device.type
            self.choice = DeviceChoice(
                torch.device("cpu"), tr("{gone} ran out of memory").format(gone=gone)
            )
            self.family.to(self.choice.device)
            self._largest_batch = None
            self.batch = self.family.default_batch(self.choice.device.type)
            message = tr("The memory of {gone} is too small; going on with the processor.").format(
                gone=gone
            )
        else:
            raise SDSegError(
                tr(
                    "There is not enough memory for even one slice; close other programs, or crop "
                    "or resample the volume."
                )
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(message)
        return message

    @torch.inference_mode()
    def _run_batches(self, run: _Pass) -> None:
        task = run.task
        grids = PlaneGrids.between(
            task.array.shape[1:],
            task.spacing[1:],
            self.description.input.spacing,
            task.box.slices()[1:],
            self.choice.device,
        )
        planes = ResampledPlanes(task.array, grids, self.choice.device)
        noises = noises_of(self.family, run.options.samples)
        first, stop = task.box.start[0], task.box.stop[0]
        for start in range(first, stop, self.batch):
            run.counter.stop_if_cancelled()
            indices = list(range(start, min(start + self.batch, stop)))
            canvas = self._painted(run, indices, planes, grids, noises)
            with record_function("restore"):
                for place in range(len(indices)):
                    values = None if canvas is None else canvas.mean(place)
                    if values is not None:
                        run.on_slice(start - first + place, values, grids)
            run.counter.advance(len(indices))
        run.counter.stop_if_cancelled()

    def _painted(
        self,
        run: _Pass,
        indices: list[int],
        planes: ResampledPlanes,
        grids: PlaneGrids,
        noises: list[Tensor | None],
    ) -> Canvas | None:
        """Blended results of slices on the model's grid; None if all are air."""
        description, task = self.description.input, run.task
        offsets, count = description.slice_offsets_mm, len(task.array)
        with record_function("preprocess"):
            first, last = context_range(indices, count, task.spacing[0], offsets)
            values = planes.between(first, last)
            extents = tissue_extents(values[indices[0] - first : indices[-1] - first + 1])
            tiles = grids.needed_tiles(tiles_of(extents, description.size), description.size)
            if not tiles:
                return None
            stacked = with_context(values, indices, count, first, task.spacing[0], offsets)
        canvas = Canvas(len(indices), grids.origin, grids.needed, run.empty)
        for start in range(0, len(tiles), self.batch):
            some = tiles[start : start + self.batch]
            with record_function("preprocess"):
                image = crop_tiles(stacked, some, description.size, description.outside)
                image = apply_windows(image, description.windows, description.repeat)
            with computing_with(run.number_type, self.choice.device):
                reduced = run.reduce(self._probabilities(run, image, noises))
            with record_function("restore"):
                canvas.add(some, reduced)
        return canvas

    def _probabilities(
        self, run: _Pass, tiles: Tensor, noises: list[Tensor | None]
    ) -> Iterator[Tensor]:
        """Class probabilities (N, C, H, W) of each noise sample; the image is encoded once."""
        family, mirror, steps = self.family, run.mirror, run.options.steps
        with record_function("condition"):
            condition = family.condition(tiles)
            mirrored = None if mirror is None else family.condition(mirror.image(tiles))
        for noise in noises:
            run.counter.stop_if_cancelled()
            found = family.probabilities(condition, noise, steps)
            if mirror is not None and mirrored is not None:
                other = family.probabilities(mirrored, noise, steps)
                found = (found + mirror.turned_back(other)) / 2
            yield found


class SliceExpectations:
    """What is expected of each slice of a box: how many voxels are wrong, and the Dice.

    Args:
        classes: C, with background.
        task: The box.
        calibration: Of the model; without it the networks' own probabilities count.
    """

    def __init__(self, classes: int, task: VolumeTask, calibration: Calibration | None) -> None:
        self._task, self._calibration = task, calibration
        self._pixels = np.zeros((classes - 1, task.box.shape[0]), np.float32)
        self._dice = np.zeros_like(self._pixels)

    def keep(self, place: int, probabilities: Tensor) -> None:
        """Measure a slice of the box by its probabilities (C, h, w) on the model's grid."""
        given = probabilities.max(dim=0).indices  # faster on a CPU than argmax
        chances = calibrated(probabilities, self._calibration)
        self._pixels[:, place] = expected_errors(chances, given).cpu().numpy()
        self._dice[:, place] = expected_dice(chances, given).cpu().numpy()

    def on_volume(self, model: ModelDescription, wanted: Sequence[Structure]) -> SliceDoubt:
        """The same for the slices of the volume, in its voxels."""
        task = self._task
        rows, columns = model.input.spacing or task.spacing[1:]
        area = rows * columns / (task.spacing[1] * task.spacing[2])
        places = [structure.label - 1 for structure in wanted]
        is_calibrated = self._calibration is not None
        return task.doubt_on_volume(area * self._pixels[places], self._dice[places], is_calibrated)


class Mirror:
    """Exchanges the sides of a patient.

    Args:
        description: Of the model: which axis runs from side to side, which structures are pairs.
        device: Device of the tensors.

    Raises:
        InputError: If the slices do not show both sides, or a structure has no counterpart.
    """

    def __init__(self, description: ModelDescription, device: torch.device) -> None:
        self._axis = mirrored_axis(description.input)
        labels = mirrored_labels(description.structures)[: len(description.structures) + 1]
        self._partners = torch.from_numpy(labels.astype(int)).to(device)

    def image(self, tiles: Tensor) -> Tensor:
        """Tiles (N, channels, H, W) with left and right exchanged."""
        return tiles.flip(self._axis)

    def turned_back(self, probabilities: Tensor) -> Tensor:
        """Probabilities (N, C, H, W) of mirrored tiles, flipped back, paired classes exchanged."""
        return probabilities.flip(self._axis)[:, self._partners]
