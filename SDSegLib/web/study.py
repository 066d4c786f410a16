"""The CT, its segmentation and its instability map in the scene; event loop's thread only."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from trame_slicer.core import SlicerApp

from ..mrml.instability import instability_to_node
from ..mrml.segmentation_node import protected_structures, segmentation_to_node
from ..mrml.storage import load_segmentation_node
from ..mrml.volume_node import volume_from_node, volume_to_node
from ..volume.finding import Finding
from ..volume.structure import Structure
from ..volume.volume import Volume
from .loading import Loaded
from .summary import Measured, RunSummary

_FILL_OPACITY = 0.4


class Study:
    """What is open.

    Args:
        app: Scene and logics.

    Attributes:
        volume_node: The CT; None before one is opened.
        segmentation_node: Its segmentation, empty at first.
        instability_node: Where the last result is unsure, if that was measured.
        summary: Of the last run.
        findings: What the user should know of the CT.
    """

    def __init__(self, app: SlicerApp) -> None:
        self._scene = app.scene
        self._volume: Volume | None = None
        self._folder: Path | None = None
        self.volume_node: vtkMRMLScalarVolumeNode | None = None
        self.segmentation_node: vtkMRMLSegmentationNode | None = None
        self.instability_node: vtkMRMLScalarVolumeNode | None = None
        self.summary: RunSummary | None = None
        self.findings: list[Finding] = []
        self._scene.Clear(False)  # without it painting does nothing in the first scene

    def open(self, loaded: Loaded, folder: Path | None = None) -> None:
        """Put a CT in place of all that is there.

        Args:
            loaded: The CT.
            folder: Of an upload; removed together with the CT, for DICOM export needs its files.
        """
        self.close()
        volume = loaded.volume
        self.volume_node = volume_to_node(volume, self._scene)
        # The reader's array is let go of: the node has the voxels.
        self._volume = replace(volume, array=volume_from_node(self.volume_node).array)
        self._folder = folder
        self.findings = loaded.findings
        self._set_segmentation(
            self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.name} segmentation")
        )

    def drop_upload(self) -> None:
        """Remove the uploaded files that are not needed any more: all but a DICOM series."""
        if self._volume is not None and not self._volume.dicom_files:
            self._remove_folder()

    def open_segmentation(self, path: Path) -> None:
        """Read a segmentation in place of the present one.

        Raises:
            InputError: If the file is no segmentation.
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
        self.findings = []
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
        """Structures whose segments somebody has edited."""
        if self.segmentation_node is None:
            return ()
        return protected_structures(self.segmentation_node, structures)

    def write(self, measured: Measured, overwrite: tuple[str, ...]) -> None:
        """Write a result into the segmentation; segments of other structures stay as they are.

        Args:
            measured: The result.
            overwrite: Names of structures that may be overwritten although somebody edited them.
        """
        result = measured.segmentation
        edited = self.edited_among(result.structures)
        kept = tuple(item.name for item in edited if item.name not in overwrite)
        segmentation_to_node(
            replace(result, structures=tuple(s for s in result.structures if s.name not in kept)),
            self.volume_node,
            node=self.segmentation_node,
            mode="update",
            overwrite_edited=True,
            prepared=measured.prepared,
        )
        if self.instability_node is not None:
            self._scene.RemoveNode(self.instability_node)
            self.instability_node = None
        if measured.percent is not None:
            self.instability_node = instability_to_node(
                result, self.volume_node, percent=measured.percent
            )
        self.summary = replace(measured.summary, kept=kept)

    def display(self) -> Any:
        """The segmentation's display node."""
        return None if self.segmentation_node is None else self.segmentation_node.GetDisplayNode()

    def _set_segmentation(self, node: vtkMRMLSegmentationNode) -> None:
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume_node)
        node.GetDisplayNode().SetOpacity2DFill(_FILL_OPACITY)
        self.segmentation_node = node

    def _forget_result(self) -> None:
        if self.instability_node is not None:
            self._scene.RemoveNode(self.instability_node)
        self.instability_node = None
        self.summary = None

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
