"""3D Slicer scenes: zip archives with an XML file, a volume and a segmentation."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mutators
import numpy as np
from content import Content, content_of
from outcome import Outcome, outcome_within
from supervision import PATIENT_NAME, TELLTALES

from SDSegLib.datasets.catalogue import open_dataset

SHAPE = (6, 14, 16)
Members = dict[str, bytes]
_ENCRYPTED = 0x1
_MANY = 200_000
_OUTSIDE = ("../outside.nrrd", "../../../../etc/passwd", "/etc/passwd", "%2e%2e/outside", "C:/x",
            "Data/../../outside", "Data//..//..//outside", "\\\\server\\x", "file:///etc/passwd",
            "", ".", "Data", "Data/\0x")  # fmt: skip


def write_good_scene(folder: Path) -> Path:
    """A scene with a CT and two structures, written by 3D Slicer's own classes."""
    from SDSegLib.models.labels import structures_called
    from SDSegLib.mrml.segmentation_node import segmentation_to_node
    from SDSegLib.mrml.session import open_session
    from SDSegLib.mrml.volumes import volume_to_node
    from SDSegLib.volume.geometry import Geometry
    from SDSegLib.volume.segmentation import Segmentation
    from SDSegLib.volume.volume import Volume

    values = ((np.arange(np.prod(SHAPE)) * 37) % 2000 - 1000).astype(np.int16).reshape(SHAPE)
    volume = Volume(values, Geometry(SHAPE, (1.5, 1.25, 3.0), (-10.0, 20.0, 5.0), np.eye(3)))
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 3:8, 3:8], labels[2:6, 9:12, 9:15] = 1, 2
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scene.mrb"
    with open_session() as session:
        volume_node = volume_to_node(volume)
        volume_node.SetName(f"{PATIENT_NAME} CT")
        structures = structures_called(["Liver", "Spleen"])
        result = Segmentation(labels, volume.geometry, structures)
        segmentation_to_node(result, volume_node).SetName(f"{PATIENT_NAME} Segmentation")
        if not session.scene.WriteToMRB(str(path)):
            raise OSError("the scene cannot be written")
    return path


@dataclass
class Scenes:
    """Scenes in one folder, read as data set "folder".

    Attributes:
        name: For the table.
        good: A scene.
    """

    name: str
    good: Path
    _content: Content | None = field(default=None, init=False)

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a scene, and read it."""
        root = folder / "root"
        root.mkdir()
        path, data = root / "case.mrb", self.good.read_bytes()
        path.write_bytes(data)
        if self._content is None:
            self._content = self._read(root)
        good = self._content
        secret = folder / "secret.txt"
        secret.write_text(" ".join(TELLTALES), encoding="utf-8")
        if dice.random() < 0.35:
            changed, must_be_told = mutators.anything(data, dice), True
        else:
            changed, must_be_told = _rebuilt(data, dice, secret)
        path.write_bytes(changed)

        def read() -> Outcome:
            return self._read(root).compared(good, must_be_told, folder)

        return outcome_within(read, folder)

    def _read(self, root: Path) -> Content:
        return content_of(open_dataset("folder", root))


def _rebuilt(data: bytes, dice: random.Random, secret: Path) -> tuple[bytes, bool]:
    """An archive that was packed anew, and whether its damage can be noticed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {item.filename: archive.read(item) for item in archive.infolist()}
    scene = next(name for name in members if name.endswith(".mrml"))
    ways: tuple[Callable[[], tuple[bytes, bool]], ...] = (
        lambda: (_packed(_with(members, scene, _entities(members[scene], dice, secret))), True),
        lambda: (_packed(_with(members, scene, _deep(members[scene], dice))), True),
        lambda: (_packed(_with(members, scene, _other_text(members[scene], dice))), False),
        lambda: (_packed(_with(members, scene, _other_text(members[scene], dice))), False),
        lambda: (_packed(_with(members, scene, _elsewhere(members[scene], dice))), True),
        lambda: (_packed(_other_member(members, dice)), False),
        lambda: (_packed(_other_member(members, dice)), False),
        lambda: (_repeated(members, dice), True),
        lambda: (_encrypted(_packed(members), dice), True),
        lambda: (_other_names(members, dice), True),
        lambda: (_declared(_packed(members), dice), True),
        lambda: (_packed(members, dice.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))), True),
        lambda: (_packed(_with(members, "padding", bytes(60 * 2**20))), True),
    )  # fmt: skip
    return dice.choice(ways)()


def _with(members: Members, name: str, content: bytes) -> Members:
    return {**members, name: content}


def _packed(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _entities(text: bytes, dice: random.Random, secret: Path) -> bytes:
    """A scene whose entities grow without end, or hold a file of the computer."""
    laughs = "".join(
        f'<!ENTITY l{n} "' + f"&l{n - 1};" * 10 + '">' if n else '<!ENTITY l0 "ha">'
        for n in range(dice.choice((3, 12)))
    )
    kinds = (
        laughs,
        f'<!ENTITY l2 SYSTEM "{secret.as_uri()}">',
        f'<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x; <!ENTITY l2 "x">',
        '<!ENTITY l2 SYSTEM "/dev/zero">',
        '<!ENTITY l2 "' + "A" * 2**20 + '">',
    )
    begin = f"<!DOCTYPE MRML [{dice.choice(kinds)}]>"
    whole = begin + text.decode().replace("<MRML", "<!-- -->\n<MRML", 1).replace(
        'name="', 'name="&l2;', dice.choice((1, 100))
    )
    return whole.encode(dice.choice(("utf-8", "utf-16", "utf-16-le", "utf-8-sig")))


def _deep(text: bytes, dice: random.Random) -> bytes:
    """A scene that is nested very deeply, or has very many nodes or attributes."""
    count = dice.choice((1000, _MANY))
    kinds = (
        b"<a>" * count + b"</a>" * count,
        b"<a/>" * count,
        b"<a " + b" ".join(b'x%d=""' % n for n in range(count)) + b"/>",
        b'<a id="vtkMRMLSegmentationNode1"/>' * count,
    )
    return text.replace(b"</MRML>", dice.choice(kinds) + b"</MRML>")


def _other_text(text: bytes, dice: random.Random) -> bytes:
    """Another value of an attribute, or damaged lines."""
    way = dice.randrange(4)
    if way == 0:
        return mutators.anything(text, dice)
    if way == 1:
        return mutators.number_in_text(text, dice)
    if way == 2:
        return mutators.lines_of_text(text, dice)
    return mutators.value_of_line(text, dice, b"=")


def _elsewhere(text: bytes, dice: random.Random) -> bytes:
    """Names of files that lie outside the archive."""
    parts = text.split(b'fileName="')
    place = dice.randrange(1, len(parts))
    name = parts[place].partition(b'"')[0]
    new = dice.choice(_OUTSIDE).encode()
    parts[place] = new + parts[place][len(name) :]
    return b'fileName="'.join(parts)


def _other_member(members: Members, dice: random.Random) -> Members:
    """A volume or segmentation with another header, or damaged voxels."""
    name = dice.choice([name for name in members if name.endswith(".nrrd")])
    content = members[name]
    end = content.find(b"\n\n")
    header, rest = content[:end], content[end:]
    way = dice.randrange(8)
    if way == 0:
        return _with(members, name, mutators.anything(content, dice))
    if way <= len(mutators.HEADER_WAYS):
        header = mutators.HEADER_WAYS[way - 1](header, dice)
    elif way == 4:
        field = dice.choice((b"Segment0_LabelValue:=", b"Segment0_Layer:=", b"Segment0_Name:="))
        value = dice.choice((b"2", b"0", b"-1", b"300", b"99999", b"9" * 5000, b"", b"x\x1b[31m"))
        header += b"\n" + field + value
    elif way == 5:
        count = dice.choice((300, _MANY))
        header += b"".join(b"\nSegment%d_Name:=S%d" % (n, n) for n in range(2, count))
    elif way == 6:
        header += b"\nSegment" + b"9" * 5000 + b"_Name:=Huge"
    else:
        header = header.replace(b"\nsizes:", b"\ndata file: ../../secret.txt\nsizes:")
    return _with(members, name, header + rest)


def _repeated(members: Members, dice: random.Random) -> bytes:
    """Two members of one name."""
    name = dice.choice([name for name in members if name.endswith((".nrrd", ".mrml"))])
    other = dice.choice((members[name][::-1], b"", members[name].replace(b"Liver", b"Colon")))
    packed = io.BytesIO()
    warnings.simplefilter("ignore")  # Python tells of names that occur twice
    with zipfile.ZipFile(packed, "w") as archive:
        for one, content in (*members.items(), (name, other)):
            archive.writestr(zipfile.ZipInfo(one), content)
    return packed.getvalue()


def _encrypted(data: bytes, dice: random.Random) -> bytes:
    """Members that are said to be encrypted, or compressed by an unknown method."""
    changed = bytearray(data)
    begin, flags, method = dice.choice(((b"PK\x01\x02", 8, 10), (b"PK\x03\x04", 6, 8)))
    place = data.find(begin)
    while place >= 0:
        if dice.random() < 0.5:
            changed[place + flags] |= _ENCRYPTED
        elif dice.random() < 0.3:
            changed[place + method : place + method + 2] = dice.choice(
                (b"\x63\0", b"\x09\0", b"\0\0")
            )
        place = data.find(begin, place + 4)
    return bytes(changed)


def _other_names(members: Members, dice: random.Random) -> bytes:
    """Members whose names lead outside."""
    prefix = dice.choice(("../", "/", "../../../tmp/", "..\\", "a/../../"))
    chosen = dice.choice(sorted(members))
    return _packed({prefix + name if name == chosen else name: c for name, c in members.items()})


def _declared(data: bytes, dice: random.Random) -> bytes:
    """Huge declared sizes of members."""
    changed = bytearray(data)
    places, place = [], data.find(b"PK\x01\x02")
    while place >= 0:
        places.append(place)
        place = data.find(b"PK\x01\x02", place + 4)
    for place in places if dice.random() < 0.5 else [dice.choice(places)]:
        size = dice.choice((0, 1, 2**31, 2**32 - 2, 10**9))
        start = place + dice.choice((20, 24))
        changed[start : start + 4] = size.to_bytes(4, "little")
    return bytes(changed)
