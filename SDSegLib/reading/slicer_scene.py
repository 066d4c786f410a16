"""3D Slicer scenes (.mrb): zip archives with a scene file (.mrml) and the data that it refers to.

Of a scene, its segmentation and the volume that this was drawn on can be read. How nodes refer to
each other is written by `vtkMRMLNode::WriteXML`: `references="ROLE:ID ID;ROLE:ID"`, names of files
as URLs relative to the scene file.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import unquote
from xml.etree import ElementTree

from ..archives import ARCHIVE_ERRORS, is_damage, problem_with, reason
from ..errors import InputError
from ..language import tr
from ..unfinished import unfinished_folder

SCENE_SUFFIX = ".mrb"
_SCENE_FILE = ".mrml"
_LARGEST_SCENE = 16 * 2**20
_LARGEST_MEMBER = 8 * 2**30
_CHUNK = 1 << 20
_SEGMENTATION, _SEGMENTATION_SUFFIX = "vtkMRMLSegmentationNode", ".seg.nrrd"
_VOLUME = "vtkMRMLScalarVolumeNode"
_VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_SAVE_AGAIN = tr("save the scene again in 3D Slicer")


@dataclass(frozen=True)
class SceneFiles:
    """Names of members of a scene's archive.

    Attributes:
        volume: The volume that the segmentation was drawn on.
        segmentation: The segmentation.
    """

    volume: str
    segmentation: str


def is_scene(path: Path) -> bool:
    """Whether a file's name is that of a 3D Slicer scene."""
    return path.name.lower().endswith(SCENE_SUFFIX)


@contextmanager
def scene_volume(path: Path) -> Iterator[Path]:
    """The volume of a scene as a temporary file; see `scene_segmentation`."""
    with _member(path, lambda files: files.volume, _VOLUME_SUFFIXES) as file:
        yield file


@contextmanager
def scene_segmentation(path: Path) -> Iterator[Path]:
    """The segmentation of a scene as a temporary file.

    Errors inside the block name the scene instead of that file, whose own name may be that of the
    patient.

    Raises:
        InputError: If the archive is damaged, if it does not hold exactly one segmentation with the
            volume that it was drawn on, or if a transform lies between them.
    """
    with _member(path, lambda files: files.segmentation, (_SEGMENTATION_SUFFIX,)) as file:
        yield file


@contextmanager
def _member(
    path: Path, choose: Callable[[SceneFiles], str], suffixes: tuple[str, ...]
) -> Iterator[Path]:
    with _opened(path) as archive:
        name = choose(_scene_files(path, archive))
        suffix = next((s for s in suffixes if name.lower().endswith(s)), None)
        if suffix is None:
            if _SEGMENTATION_SUFFIX in suffixes:
                raise InputError(
                    tr(
                        "{path}: Its segmentation is stored as surfaces, not as {suffix}; in 3D "
                        "Slicer, make Binary labelmap its source representation (module "
                        "Segmentations), and save the scene again."
                    ).format(path=path, suffix=suffixes[0])
                )
            raise InputError(
                tr("{path}: Its volume is not stored as {suffixes}; {save_again}.").format(
                    path=path, suffixes=tr(" or ").join(suffixes), save_again=_SAVE_AGAIN
                )
            )
        with unfinished_folder(Path(gettempdir())) as folder:
            file = folder / f"data{suffix}"
            _unpack(path, archive, name, file)
            try:
                yield file
            except InputError as error:
                raise InputError(str(error).replace(str(file), str(path))) from error


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (*ARCHIVE_ERRORS, OSError) as error:
        raise InputError(
            tr("{path} is no 3D Slicer scene, or is damaged; {save_again}.").format(
                path=path, save_again=_SAVE_AGAIN
            )
        ) from error
    with archive:
        yield archive


def _unpack(path: Path, archive: zipfile.ZipFile, name: str, file: Path) -> None:
    member = archive.getinfo(name)
    if member.file_size > _LARGEST_MEMBER:
        raise InputError(
            tr("{path} unpacks to more than {largest_member} GiB.").format(
                path=path, largest_member=_LARGEST_MEMBER // 2**30
            )
        )
    left = member.file_size
    try:
        with archive.open(member) as source, file.open("wb") as target:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InputError(
                        tr("{path} is damaged: a file in it is larger than announced.").format(
                            path=path
                        )
                    )
                target.write(chunk)
    except ARCHIVE_ERRORS as error:
        raise InputError(
            tr("{path} is damaged ({error}); {save_again}.").format(
                path=path, error=reason(error), save_again=_SAVE_AGAIN
            )
        ) from error
    except OSError as error:
        if is_damage(error):
            raise InputError(
                tr("{path} is damaged ({error}); {save_again}.").format(
                    path=path, error=reason(error), save_again=_SAVE_AGAIN
                )
            ) from error
        raise InputError(
            tr("{path} cannot be unpacked into {folder} ({reason}); make room there.").format(
                path=path, folder=gettempdir(), reason=error.strerror or error
            )
        ) from error


def _scene_files(path: Path, archive: zipfile.ZipFile) -> SceneFiles:
    _refuse_repeated(path, archive)
    scene = _scene_file(path, archive)
    nodes = _nodes(path, archive, scene)
    segmentations = [node for node in nodes.values() if _is(node, _SEGMENTATION)]
    if len(segmentations) != 1:
        raise InputError(
            tr("{path} holds {count} segmentations; save a scene with the one that counts.").format(
                path=path, count=len(segmentations) or tr("no")
            )
        )
    segmentation = segmentations[0]
    volume = _drawn_on(path, segmentation, nodes)
    if _references(segmentation).get("transform") != _references(volume).get("transform"):
        raise InputError(
            tr(
                "{path}: A transform lies between the segmentation and its volume, so they are "
                "not on the same voxels; in 3D Slicer, harden the transforms or put both under "
                "the same one."
            ).format(path=path)
        )
    return SceneFiles(
        volume=_file_of(path, archive, scene, volume, nodes),
        segmentation=_file_of(path, archive, scene, segmentation, nodes),
    )


def _refuse_repeated(path: Path, archive: zipfile.ZipFile) -> None:
    """Check that no two members have the same name, of which only one would be read."""
    counts = Counter(archive.namelist())
    if len(counts) < len(archive.namelist()):
        raise InputError(
            tr("{path} holds several files of the same name; {save_again}.").format(
                path=path, save_again=_SAVE_AGAIN
            )
        )


def _scene_file(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [item for item in archive.infolist() if item.filename.lower().endswith(_SCENE_FILE)]
    if len(members) != 1:
        raise InputError(
            tr("{path} holds {count} scene files ({scene_file}); {save_again}.").format(
                path=path,
                count=len(members) or tr("no"),
                scene_file=_SCENE_FILE,
                save_again=_SAVE_AGAIN,
            )
        )
    if members[0].file_size > _LARGEST_SCENE:
        raise InputError(
            tr("{path}: Its scene file is too large; save a scene with fewer nodes.").format(
                path=path
            )
        )
    return members[0]


def _nodes(
    path: Path, archive: zipfile.ZipFile, scene: zipfile.ZipInfo
) -> dict[str, ElementTree.Element]:
    """The scene's nodes by ID."""
    problem = problem_with(scene)
    if problem is not None:
        raise InputError(tr("{path} cannot be read: {problem}.").format(path=path, problem=problem))
    try:
        with archive.open(scene) as file:
            text = file.read(_LARGEST_SCENE)
        root = ElementTree.fromstring(text, ElementTree.XMLParser(target=_PlainTree()))
    except _EntitiesError as error:
        raise InputError(
            tr("{path}: Its scene file defines entities, which 3D Slicer never does.").format(
                path=path
            )
        ) from error
    except (*ARCHIVE_ERRORS, ElementTree.ParseError, OSError) as error:
        raise InputError(
            tr("{path}: Its scene file is damaged; {save_again}.").format(
                path=path, save_again=_SAVE_AGAIN
            )
        ) from error
    return {element.get("id", ""): element for element in root.iter() if element.get("id")}


class _EntitiesError(Exception):
    """An XML file has a document type, in which entities can be defined."""


class _PlainTree(ElementTree.TreeBuilder):
    """Builds the tree of an XML file, in any encoding, that has no document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called before any entity is defined."""
        raise _EntitiesError


def _drawn_on(
    path: Path, segmentation: ElementTree.Element, nodes: dict[str, ElementTree.Element]
) -> ElementTree.Element:
    named = _references(segmentation).get("referenceImageGeometryRef")
    if named is not None and named in nodes:
        return nodes[named]
    volumes = [node for node in nodes.values() if _is(node, _VOLUME)]
    if len(volumes) != 1:
        raise InputError(
            tr(
                "{path}: Its segmentation names no volume that it was drawn on, and the scene "
                "holds {count}; in 3D Slicer, set the source volume in the Segment Editor and "
                "save the scene again."
            ).format(path=path, count=len(volumes) or tr("none"))
        )
    return volumes[0]


def _file_of(
    path: Path,
    archive: zipfile.ZipFile,
    scene: zipfile.ZipInfo,
    node: ElementTree.Element,
    nodes: dict[str, ElementTree.Element],
) -> str:
    """Name of the member that holds a node's data."""
    storage = nodes.get(_references(node).get("storage", ""))
    file = unquote(storage.get("fileName", "")) if storage is not None else ""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(scene.filename), file))
    if not file or name not in archive.namelist():
        what = tr("segmentation") if _is(node, _SEGMENTATION) else tr("volume")
        raise InputError(
            tr("{path} lacks the file of its {what}; {save_again}.").format(
                path=path, what=what, save_again=_SAVE_AGAIN
            )
        )
    problem = problem_with(archive.getinfo(name))
    if problem is not None:
        raise InputError(tr("{path} cannot be read: {problem}.").format(path=path, problem=problem))
    return name


def _references(node: ElementTree.Element) -> dict[str, str]:
    """The first node ID of each role that a node refers to."""
    found = {}
    for part in node.get("references", "").split(";"):
        role, _, ids = part.strip().partition(":")
        if ids.strip():
            found[role] = ids.split()[0]
    return found


def _is(node: ElementTree.Element, class_name: str) -> bool:
    return node.get("id", "").startswith(class_name)
