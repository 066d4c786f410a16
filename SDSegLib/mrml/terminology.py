"""Terminology strings of segments: what 3D Slicer keeps and DICOM export needs."""

from __future__ import annotations

from ..volume.structure import Code, Structure
from .session import ANATOMIC_CONTEXT, SEGMENT_CONTEXT

CodeKey = tuple[tuple[str, str], ...]


def terminology_string(structure: Structure) -> str:
    """Category, type and laterality of a structure as a serialised terminology entry.

    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~…|"
    """
    parts = (structure.category, structure.type, structure.modifier)
    codes = "~".join(_serialised(code) for code in parts)
    return f"{SEGMENT_CONTEXT}~{codes}~{ANATOMIC_CONTEXT}~^^~^^|"


def codes_of_structure(structure: Structure) -> CodeKey:
    """Scheme and value of category, type and modifier, to compare with `codes_of_entry`."""
    parts = (structure.category, structure.type, structure.modifier)
    return tuple(("", "") if code is None else (code.scheme, code.value) for code in parts)


def codes_of_entry(entry: str) -> CodeKey | None:
    """Scheme and value of category, type and modifier of a terminology entry; None without it.

    Context names and meanings are left out: they differ between sources of the same code.
    """
    parts = entry.rstrip("|").split("~")
    if len(parts) < 4:
        return None
    codes = [f"{part}^^".split("^") for part in parts[1:4]]
    return tuple((code[0], code[1]) for code in codes)


def _serialised(code: Code | None) -> str:
    return "^^" if code is None else f"{code.scheme}^{code.value}^{code.meaning}"
