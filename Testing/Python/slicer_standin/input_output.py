"""slicer.app.ioManager(), or coreIOManager(): files by Slicer's own logics and storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from .strict import Strict

_TYPES = (
    ((".seg.nrrd", ".seg.nhdr", ".seg.vtm"), "SegmentationFile"),
    ((".mrml", ".mrb"), "SceneFile"),
    ((".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"), "VolumeFile"),
    ((".h5", ".tfm", ".txt"), "TransformFile"),
)


class qSlicerIOManager(Strict):
    """Loads and saves nodes and scenes."""

    def fileType(self, filename: str) -> str:
        name = str(filename).lower()
        return next((kind for ends, kind in _TYPES if name.endswith(ends)), "NoFile")

    def fileWriterFileType(self, node: Any) -> str:
        kinds = {"vtkMRMLSegmentationNode": "SegmentationFile", "vtkMRMLVolumeNode": "VolumeFile"}
        return next((kind for cls, kind in kinds.items() if node.IsA(cls)), "TransformFile")

    def loadNodes(self, kind: str, properties: dict, loaded: Any, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not Path(path).is_file():
            return False
        if kind == "SceneFile":
            return self._load_scene(path, bool(properties.get("clear", False)))
        node = self._load_node(kind, path, properties)
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self._save_scene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))

    def _load_node(self, kind: str, path: str, properties: dict) -> Any:
        name = properties.get("name") or Path(path).name.split(".")[0]
        if kind == "VolumeFile":
            options = 1 if properties.get("labelmap") else 0
            volume = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
            if volume is not None and properties.get("show", True):
                selection = slicer.app.applicationLogic().GetSelectionNode()
                selection.SetActiveVolumeID(volume.GetID())
                slicer.app.applicationLogic().PropagateVolumeSelection()
            return volume
        if kind == "SegmentationFile":
            logic = slicer.modules.segmentations.logic()
            return logic.LoadSegmentationFromFile(path, True, name)
        if kind == "TransformFile":
            return slicer.modules.transforms.logic().AddTransform(path, slicer.mrmlScene)
        return None

    def _load_scene(self, path: str, clear: bool) -> bool:
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def _save_scene(self, path: str) -> bool:
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        scene.SetURL(path)
        scene.SetRootDirectory(str(Path(path).parent))
        return bool(scene.Commit(path))
