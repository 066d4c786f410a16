"""The open CT with its segmentation and instability map in the scene, and reading their files.

`Study` is used on the event loop's thread only. The functions that read files use no MRML and run
in threads.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from trame_slicer.core import SlicerApp

from ..errors import InputError
from ..export.segmentation_input import check_segmentation
from ..language import tr
from ..mrml.results import PreparedResult, write_result
from ..mrml.segmentation_node import protected_structures
from ..mrml.storage import load_segmentation_node
from ..mrml.volumes import volume_from_node, volume_to_node
from ..reading.dicom import Series
from ..reading.files import is_dicom_file, list_series, read_volume
from ..review.summary import RunSummary
from ..volume.finding import Finding
from ..volume.judgement import refuse_unusable
from ..volume.structure import Structure
from ..volume.volume import Volume
from .uploads import is_zip, unpack

SEGMENTATION_SUFFIX = ".seg.nrrd"
_HEADERS = (".nhdr", ".mhd")
_FILL_OPACITY = 0.4


@dataclass(frozen=True)
class Source:
    """Files that the user named or uploaded.

    Attributes:
        image: The CT's file or folder; None if there is only a segmentation.
        segmentation: A segmentation file, if there is one.
        folder: An upload's folder, to be removed when the CT is replaced; None for the user's own
            paths.
        name: What the CT is called in the page; "" for its file's own name.
    """

    image: Path | None
    segmentation: Path | None = None
    folder: Path | None = None
    name: str = ""


def source_of_upload(folder: Path, files: list[Path]) -> Source:
    """Sort uploaded files: an image, its segmentation, a DICOM series, or a zip archive of these.

    Raises:
        InputError: If a zip archive cannot be used.
    """
    if len(files) == 1 and is_zip(files[0]):
        unpacked, archive = folder / "unpacked", files[0]
        files = unpack(archive, unpacked)
        archive.unlink()
        root = unpacked
    else:
        root = folder
    segmentations = [path for path in files if path.name.lower().endswith(SEGMENTATION_SUFFIX)]
    images = [path for path in files if path not in segmentations]
    segmentation = segmentations[0] if segmentations else None
    headers = [path for path in images if path.name.lower().endswith(_HEADERS)]
    if not images:
        return Source(None, segmentation, folder)
    if len(images) == 1:
        return Source(images[0], segmentation, folder)
    if len(headers) == 1:
        return Source(headers[0], segmentation, folder)
    return Source(root, segmentation, folder)


@dataclass(frozen=True)
class SeriesChoice:
    """A series of a DICOM folder, or one of its phases.

    Attributes:
        series: Number of the series.
        phase: Number of the phase; None if the series has no phases.
        text: What the page shows.
    """

    series: str
    phase: str | None
    text: str

    @property
    def key(self) -> str:
        """What the page sends when it is chosen."""
        return self.series if self.phase is None else f"{self.series}/{self.phase}"


def series_to_choose_from(path: Path) -> list[SeriesChoice]:
    """The series of a DICOM folder and their phases, if there are several; else nothing.

    Raises:
        InputError: If it cannot be read, without the name of the private folder.
    """
    try:
        found = list_series(path) if path.is_dir() or is_dicom_file(path) else []
    except InputError as error:
        raise InputError(_without_folder(str(error), path)) from error
    choices = [choice for item in found for choice in _choices(item)]
    return choices if len(choices) > 1 else []


def _choices(item: Series) -> list[SeriesChoice]:
    size = f"{item.size[0]} × {item.size[1]} × {item.slices}"
    parts = [item.modality or "?", item.description or tr("no description"), item.differs]
    text = " · ".join(part for part in parts if part)
    if not item.phases:
        return [SeriesChoice(str(item.number), None, f"{text} · {size}")]
    return [
        SeriesChoice(
            str(item.number),
            str(phase.number),
            f"{text} · {phase.name} · {item.size[0]} × {item.size[1]} × {phase.slices}",
        )
        for phase in item.phases
    ]


def try_segmentation(path: Path) -> None:
    """Read a segmentation in a process of its own, before the scene gets it.

    Raises:
        InputError: If it cannot be read, without the name of the private folder.
    """
    try:
        check_segmentation(path)
    except InputError as error:
        raise InputError(_without_folder(str(error), path)) from error


def read_image(path: Path, series: str | None = None, phase: str | None = None) -> Volume:
    """Read a CT.

    Raises:
        InputError: If it cannot be read or used, without the name of the private folder.
    """
    try:
        volume = read_volume(path, series, phase)
        refuse_unusable(volume)
        return volume
    except InputError as error:
        raise InputError(_without_folder(str(error), path)) from error


def _without_folder(text: str, path: Path) -> str:
    return text.replace(f"{path.parent}/", "").replace(f"{path.parent}\\", "")


class Study:
    """The open CT, its segmentation and the last result.

    Args:
        app: Scene and logics.

    Attributes:
        volume_node: The CT; None before one is opened.
        segmentation_node: Its segmentation, empty at first.
        instability_node: Instability map of the last result, if there is one.
        summary: Of the last run.
        findings: About the CT for the chosen model, the most severe first.
        choice: Series and phase of the CT, if there were several.
    """

    def __init__(self, app: SlicerApp) -> None:
        self._scene = app.scene
        self._volume: Volume | None = None
        self._folder: Path | None = None
        self.choice: SeriesChoice | None = None
        self.volume_node: vtkMRMLScalarVolumeNode | None = None
        self.segmentation_node: vtkMRMLSegmentationNode | None = None
        self.instability_node: vtkMRMLScalarVolumeNode | None = None
        self.summary: RunSummary | None = None
        self.findings: tuple[Finding, ...] = ()
        self._scene.Clear(False)  # without it painting does nothing in the first scene

    def open(
        self,
        volume: Volume,
        folder: Path | None = None,
        choice: SeriesChoice | None = None,
    ) -> None:
        """Open a CT; what was open before is closed.

        Args:
            volume: The CT.
            folder: Of an upload; removed together with the CT, for DICOM export needs its files,
                and so does taking up edits after the program was killed.
            choice: Series and phase, if there were several.
        """
        self.close()
        self.volume_node = volume_to_node(volume, self._scene)
        # The reader's array is released: the node has the voxels.
        self._volume = replace(volume, array=volume_from_node(self.volume_node).array)
        self._folder = folder
        self.choice = choice
        self._set_segmentation(
            self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.name} segmentation")
        )

    def open_segmentation(self, path: Path) -> None:
        """Read a segmentation and replace the current one.

        Raises:
            InputError: If the file is not a segmentation.
        """
        node = load_segmentation_node(path, self._scene)
        self._scene.RemoveNode(self.segmentation_node)
        self._forget_result()
        self._set_segmentation(node)

    def close(self) -> None:
        """Empty the scene."""
        self._forget_result()
        self.volume_node = self.segmentation_node = None
        self._volume = None
        self.findings = ()
        self._scene.Clear(False)
        self._remove_folder()

    def volume(self) -> Volume:
        """The CT for the worker, without its name, which may be a patient's."""
        return replace(self.opened(), name="the image")

    def opened(self) -> Volume:
        """The CT as it was read, with its DICOM files."""
        if self._volume is None:
            raise RuntimeError("no image is open")
        return self._volume

    def edited_among(self, structures: tuple[Structure, ...]) -> tuple[Structure, ...]:
        """Structures whose segments were edited."""
        if self.segmentation_node is None:
            return ()
        return protected_structures(self.segmentation_node, structures)

    def write(
        self, result: PreparedResult, summary: RunSummary, overwrite: tuple[str, ...]
    ) -> None:
        """Write a result into the segmentation; segments of other structures stay as they are.

        Args:
            result: From `prepare_result`.
            summary: Of the run.
            overwrite: Names of structures whose edited segments may be overwritten.
        """
        self._remove_instability()
        written = write_result(
            result, self.volume_node, node=self.segmentation_node, overwrite_edited=overwrite
        )
        self.instability_node = written.instability_node
        self.summary = replace(summary, kept=written.kept)

    def display(self) -> Any:
        """The segmentation's display node."""
        return None if self.segmentation_node is None else self.segmentation_node.GetDisplayNode()

    def _set_segmentation(self, node: vtkMRMLSegmentationNode) -> None:
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume_node)
        node.GetDisplayNode().SetOpacity2DFill(_FILL_OPACITY)
        self.segmentation_node = node

    def _forget_result(self) -> None:
        self._remove_instability()
        self.summary = None

    def _remove_instability(self) -> None:
        if self.instability_node is not None:
            self._scene.RemoveNode(self.instability_node)
        self.instability_node = None

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
