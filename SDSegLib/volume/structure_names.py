"""Names of structures in plain words, from names of files as programs write them."""

from __future__ import annotations

_SIDES = ("left", "right")
# Latin and other words of TotalSegmentator's file names.
_WORDS = {
    "vertebrae": "vertebra",
    "clavicula": "clavicle",
    "autochthon": "deep back muscle",
    "iliac vena": "iliac vein",
    "hip": "hip bone",
    "portal vein and splenic vein": "portal and splenic veins",
}


def plain_words(stem: str) -> str:
    """A file's name as words, the side first: "kidney_left" → "Left kidney"."""
    words = stem.replace("_", " ").split()
    sides = [word for word in words if word.lower() in _SIDES]
    rest = [word for word in words if word.lower() not in _SIDES]
    if len(sides) != 1 or not rest:
        sides, rest = [], words
    text = " ".join(rest)
    for written, usual in _WORDS.items():
        if text == written or text.startswith(f"{written} "):
            text = usual + text[len(written) :]
    text = " ".join([*(side.lower() for side in sides), text])
    return text[:1].upper() + text[1:]
