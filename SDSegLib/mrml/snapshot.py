"""All segments of a segmentation with their voxels, as bytes that survive the program."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr
from .segments import segment_ids
from .session import require_slicer
from .volumes import array_of, bounding_box, vtk_matrix

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode, vtkOrientedImageData, vtkSegment

LABELMAP = "Binary labelmap"
_FORMAT = 1
_COMPRESSION = 1  # of zlib: the fastest
_TAG = re.compile(r"^ {6}([^:\s][^:]*): ", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Layer:
    """Voxels that several segments share.

    Attributes:
        array: Copy of the label values, (k, j, i); each segment has its own.
        extent: First and last index along i, j and k.
        matrix: 4×4 from indices to RAS mm, row by row.
    """

    array: np.ndarray
    extent: tuple[int, ...]
    matrix: tuple[float, ...]

    @classmethod
    def of(cls, image: vtkOrientedImageData) -> Layer | None:
        """A copy; None if it has no voxels."""
        import vtk

        if image.GetPointData().GetScalars() is None:
            return None
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        values = tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
        return cls(array_of(image).copy(), tuple(image.GetExtent()), values)

    def to_image(self) -> vtkOrientedImageData:
        """A new image with these voxels."""
        from vtk.util.numpy_support import get_vtk_array_type

        image = require_slicer().vtkOrientedImageData()
        image.SetExtent(*self.extent)
        image.AllocateScalars(get_vtk_array_type(self.array.dtype), 1)
        image.SetImageToWorldMatrix(vtk_matrix(np.reshape(self.matrix, (4, 4))))
        array_of(image)[...] = self.array
        return image


@dataclass(frozen=True)
class SegmentRecord:
    """A segment without its voxels.

    Attributes:
        id: Its ID.
        name: Its name.
        color: Red, green and blue, 0 to 1.
        label: Its value in the layer.
        layer: Index of the layer; None for a segment without voxels.
        tags: Terminology, and what programs noted, by name.
    """

    id: str
    name: str
    color: tuple[float, ...]
    label: int
    layer: int | None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SegmentationSnapshot:
    """The segments at one moment; independent of MRML, so threads may use it.

    Attributes:
        segments: In order.
        layers: Those that the segments share.
    """

    segments: tuple[SegmentRecord, ...]
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, node: vtkMRMLSegmentationNode) -> SegmentationSnapshot:
        """Copy the segments of a node."""
        indices: dict[str, int | None] = {}
        layers: list[Layer] = []
        records = []
        for segment_id in segment_ids(node):
            segment = node.GetSegmentation().GetSegment(segment_id)
            image = segment.GetRepresentation(LABELMAP)
            key = "" if image is None else image.GetAddressAsString("")
            if key not in indices:
                layer = None if image is None else Layer.of(image)
                indices[key] = None if layer is None else len(layers)
                layers += [] if layer is None else [layer]
            records.append(
                SegmentRecord(
                    segment_id,
                    segment.GetName() or "",
                    tuple(segment.GetColor()),
                    segment.GetLabelValue(),
                    indices[key],
                    dict(_tags(segment)),
                )
            )
        return cls(tuple(records), tuple(layers))

    def put_into(self, node: vtkMRMLSegmentationNode) -> None:
        """Replace all segments of a node."""
        slicer = require_slicer()
        segmentation = node.GetSegmentation()
        segmentation.RemoveAllSegments()
        segmentation.SetSourceRepresentationName(LABELMAP)
        images = [layer.to_image() for layer in self.layers]
        for record in self.segments:
            segment = slicer.vtkSegment()
            segment.SetName(record.name)
            segment.SetColor(*record.color)
            for name, value in record.tags.items():
                segment.SetTag(name, value)
            segment.SetLabelValue(record.label)
            if record.layer is not None:
                segment.AddRepresentation(LABELMAP, images[record.layer])
            segmentation.AddSegment(segment, record.id)

    def to_bytes(self, about: dict[str, Any]) -> bytes:
        """A line of JSON, and the packed part of each layer that is not zero.

        Args:
            about: Plain values to be kept beside the segments.
        """
        described, packed = [], []
        for layer in self.layers:
            box = bounding_box(layer.array) if layer.array.any() else (slice(0, 0),) * 3
            part = np.ascontiguousarray(layer.array[box])
            packed.append(zlib.compress(part.data, _COMPRESSION))
            described.append(
                {
                    "shape": layer.array.shape,
                    "dtype": layer.array.dtype.str,
                    "box": [[side.start, side.stop] for side in box],
                    "bytes": len(packed[-1]),
                    "extent": layer.extent,
                    "matrix": layer.matrix,
                }
            )
        head = {
            "format": _FORMAT,
            "about": about,
            "segments": [asdict(record) for record in self.segments],
            "layers": described,
        }
        return b"".join([json.dumps(head).encode("ascii"), b"\n", *packed])

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[SegmentationSnapshot, dict[str, Any]]:
        """What `to_bytes` gave: the segments and the values beside them.

        Raises:
            InputError: If the bytes are damaged.
        """
        line, _, packed = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head["format"] != _FORMAT:
                raise ValueError(f"format {head['format']}")
            records = tuple(
                SegmentRecord(**{**item, "color": tuple(item["color"])})
                for item in head["segments"]
            )
            return cls(records, tuple(_layers(head["layers"], packed))), head["about"]
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise InputError(
                tr("The kept edits are damaged ({error}).").format(error=type(error).__name__)
            ) from error


def _layers(described: list[dict[str, Any]], packed: bytes) -> Iterator[Layer]:
    start = 0
    for item in described:
        array = np.zeros(tuple(item["shape"]), item["dtype"])
        box = tuple(slice(first, last) for first, last in item["box"])
        part = zlib.decompress(packed[start : start + item["bytes"]])
        array[box] = np.frombuffer(part, item["dtype"]).reshape(array[box].shape)
        start += item["bytes"]
        yield Layer(array, tuple(item["extent"]), tuple(item["matrix"]))


def _tags(segment: vtkSegment) -> Iterator[tuple[str, str]]:
    """Names and values of the tags; only the segment's printed form lists the names."""
    import vtk

    for name in _TAG.findall(str(segment).partition("  Tags:\n")[2]):
        value = vtk.reference("")
        if segment.GetTag(name, value):
            yield name, str(value)
