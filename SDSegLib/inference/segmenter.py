"""The pipeline: volume → slices → latents → label map, in batches, on one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from ..errors import SDSegError
from ..families.base import SegmentationFamily
from ..volume.region import Region
from ..volume.segmentation import Segmentation
from ..volume.slices import apply_windows, context_range, with_context
from ..volume.structure import Structure
from ..volume.tiles import cut, tiles_of, tissue_extents
from ..volume.volume import Volume
from .canvas import Canvas
from .connected_components import remove_small_components
from .device import DeviceChoice, is_out_of_memory
from .job import Job
from .mirror import Mirror
from .plane import PlaneGrids
from .planes import ResampledPlanes
from .precision import choose_precision, computing_with
from .progress import ProgressCallback, SliceCounter
from .restore import restored, restored_labels
from .samples import (
    Reduce,
    average_of,
    background,
    check_samples,
    check_steps,
    instability_of,
    noises_of,
)
from .selection import select_structures

log = logging.getLogger(__name__)

DEFAULT_BATCH = {
    "compact": {"cuda": 64, "mps": 16, "cpu": 16},
    "direct": {"cuda": 64, "mps": 16, "cpu": 16},
    "published": {"cuda": 16, "mps": 4, "cpu": 2},
}

Take = Callable[[int, Tensor, PlaneGrids], None]
"""Told the number of a slice in the box, its values (channels, h, w) on the needed part of the
model's grid, and the way back to the voxels of the box."""


class Segmenter:
    """A model on a device, ready for volumes.

    The same volume on the same device always gives the same label map: with one sample the only
    noise is the model's own stored z_T, and the others come from a fixed seed. Memory beyond the
    input and the uint8 results is bounded by `batch` slices, however many the volume has.

    Args:
        family: The model's networks.
        choice: Where to compute.
        batch: Slices at a time; halved by itself when memory runs short.
        precision: What the networks compute with: "float32", "float16", "bfloat16", or "auto",
            which is float32. Estimates of z0 and probabilities are always float32.
        mirror: Average what is found in each slice with what is found in its mirror image; twice
            the work.
        steps: UNet calls of the reverse process (DDIM), to compare the single step with.

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
        check_steps(family, steps)
        self._number_type = choose_precision(precision, choice.device)
        self.family = family.eval().requires_grad_(False).to(choice.device)
        self.choice = choice
        self.batch = batch or DEFAULT_BATCH[family.description.family][choice.device.type]
        self.description = family.description
        self._mirrors = mirror
        self._steps = steps
        self._mirror()

    @property
    def precision(self) -> str:
        """What the networks compute with: "float32", "float16" or "bfloat16"."""
        return str(self._number_type).removeprefix("torch.")

    def segment(
        self,
        volume: Volume,
        structures: Sequence[str] | None = None,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        samples: int = 1,
        region: Region | None = None,
    ) -> Segmentation:
        """Segment a volume, or a box of it.

        Args:
            volume: Any orientation, spacing and size; HU.
            structures: Names or ids of the structures wanted; None for all. Voxels of the others
                become background, so a wanted structure is the same whatever else is asked for.
            report: Told of each batch.
            is_cancelled: Asked between batches.
            samples: Noises to average over. The image is encoded once; each sample costs one
                reverse step and one decoding. More than one give `Segmentation.instability`: the
                chance, as the model puts it, that the labels of two noises differ at a voxel. A
                voxel is unstable because each sample by itself is unsure of it, or because the
                samples contradict each other; a model that hardly heeds the noise shows the former
                alone. It says nothing of errors that the model is sure of.
            region: Only this box, as far as it lies in the volume. The networks see the tissue
                around it as well, so voxels in it get the labels that the whole volume gives them;
                all others become background. The time is that of the slices in the box. Pieces of
                a structure that the box cuts off are never taken for islands.

        Returns:
            uint8 label map on exactly the volume's grid.

        Raises:
            InputError: Unknown structure, unusable volume, region beside it, or samples that are
                not 1 … 64.
            CancelledError: Once `is_cancelled` says so.
            SDSegError: If memory does not even suffice for one slice on the CPU.
        """
        wanted = select_structures(self.description.structures, structures)
        check_samples(samples)
        job = Job.of(volume, self.description.input.axes, region)
        classes = self.family.num_classes
        labels = torch.zeros(job.box.shape, dtype=torch.uint8, device=self.choice.device)
        unsure = torch.zeros_like(labels) if samples > 1 else None

        def take(place: int, values: Tensor, grids: PlaneGrids) -> None:
            labels[place] = restored_labels(values[:classes], grids)
            if unsure is not None:
                unsure[place] = instability_of(restored(values[classes:], grids)[0])

        empty = background(classes, samples)
        self.run(job, samples, average_of, empty, take, report, is_cancelled)
        return Segmentation(
            label_map=self.finished(job, labels.cpu().numpy(), wanted),
            geometry=volume.geometry,
            structures=wanted,
            model=f"{self.description.name} {self.description.version}",
            instability=None if unsure is None else job.on_volume(unsure.cpu().numpy()),
            samples=samples,
            region=None if region is None else job.region,
        )

    def finished(self, job: Job, labels: np.ndarray, wanted: tuple[Structure, ...]) -> np.ndarray:
        """Labels of the box → the label map of the volume: wanted structures without islands.

        `labels` is changed.
        """
        remove_small_components(labels, wanted, job.goes_on)
        if len(wanted) < len(self.description.structures):
            keep = np.zeros(256, np.uint8)
            for item in wanted:
                keep[item.label] = item.label
            for plane in labels:
                if plane.any():
                    plane[...] = keep[plane]
        return job.on_volume(labels)

    def run(
        self,
        job: Job,
        samples: int,
        reduce: Reduce,
        empty: Tensor,
        take: Take,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Run the networks over the slices of a box; with less memory, from the first one again.

        Args:
            job: The box.
            samples: Noises.
            reduce: What to keep of their probabilities, channel by channel.
            empty: Its channels where no network looks, for all is air.
            take: Gets the slices that hold tissue. It may get a slice twice; the latter counts.
            report: Told of each batch.
            is_cancelled: Asked between batches.
        """
        counter = SliceCounter(job.box.shape[0], report, is_cancelled)
        while True:
            try:
                self._run_batches(job, samples, reduce, empty, take, counter)
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                counter.restart(self._use_less_memory())

    def _use_less_memory(self) -> str:
        if self.batch > 1:
            self.batch //= 2
            message = f"Memory ran short; going on with {self.batch} slices at a time."
        elif self.choice.device.type != "cpu":
            gone = self.choice.device.type
            self.choice = DeviceChoice(torch.device("cpu"), f"{gone} ran out of memory")
            self.family.to(self.choice.device)
            self.batch = DEFAULT_BATCH[self.description.family]["cpu"]
            self._number_type = torch.float32
            message = f"The memory of {gone} is too small; going on with the processor."
        else:
            raise SDSegError(
                "There is not enough memory for even one slice; close other programs, or crop or "
                "resample the volume."
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(message)
        return message

    @torch.inference_mode()
    def _run_batches(
        self,
        job: Job,
        samples: int,
        reduce: Reduce,
        empty: Tensor,
        take: Take,
        counter: SliceCounter,
    ) -> None:
        grids = PlaneGrids.between(
            job.array.shape[1:],
            job.spacing[1:],
            self.description.input.spacing,
            job.box.slices()[1:],
            self.choice.device,
        )
        planes = ResampledPlanes(job.array, grids, self.choice.device)
        noises = noises_of(self.family, samples)
        first, stop = job.box.start[0], job.box.stop[0]
        for start in range(first, stop, self.batch):
            counter.stop_if_cancelled()
            indices = list(range(start, min(start + self.batch, stop)))
            canvas = self._painted(job, indices, planes, grids, noises, reduce, empty)
            with record_function("restore"):
                for place in range(len(indices)):
                    values = None if canvas is None else canvas.mean(place)
                    if values is not None:
                        take(start - first + place, values, grids)
            counter.advance(len(indices))

    def _painted(
        self,
        job: Job,
        indices: list[int],
        planes: ResampledPlanes,
        grids: PlaneGrids,
        noises: list[Tensor],
        reduce: Reduce,
        empty: Tensor,
    ) -> Canvas | None:
        """Slices on the model's grid; None if all is air."""
        description, device = self.description.input, self.choice.device
        offsets, count = description.slice_offsets_mm, len(job.array)
        with record_function("preprocess"):
            first, last = context_range(indices, count, job.spacing[0], offsets)
            values = planes.between(first, last)
            extents = tissue_extents(values[indices[0] - first : indices[-1] - first + 1])
            tiles = grids.needed_tiles(tiles_of(extents, description.size), description.size)
            if not tiles:
                return None
            stacked = with_context(values, indices, count, first, job.spacing[0], offsets)
        canvas = Canvas(len(indices), grids.origin, grids.needed, empty.to(device))
        for start in range(0, len(tiles), self.batch):
            some = tiles[start : start + self.batch]
            with record_function("preprocess"):
                image = cut(stacked, some, description.size, description.outside)
                image = apply_windows(image, description.windows, description.repeat)
            with computing_with(self._number_type, device):
                reduced = reduce(self._probabilities(image, noises))
            with record_function("restore"):
                canvas.add(some, reduced)
        return canvas

    def _probabilities(self, tiles: Tensor, noises: list[Tensor]) -> Iterator[Tensor]:
        """Class probabilities (N, C, H, W) of each noise; the image is encoded once for all."""
        family, mirror, steps = self.family, self._mirror(), self._steps
        with record_function("condition"):
            condition = family.condition(tiles)
            mirrored = None if mirror is None else family.condition(mirror.image(tiles))
        for noise in noises:
            found = family.probabilities(condition, noise, steps)
            if mirror is not None and mirrored is not None:
                other = family.probabilities(mirrored, noise, steps)
                found = (found + mirror.turned_back(other)) / 2
            yield found

    def _mirror(self) -> Mirror | None:
        return Mirror(self.description, self.choice.device) if self._mirrors else None
