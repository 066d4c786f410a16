"""Paths of the files that come with the library: models, terminology, samples."""

from __future__ import annotations

from pathlib import Path


def resource_folder() -> Path:
    """`Resources`: beside the library in a checkout and in Slicer, inside it in a wheel."""
    library = Path(__file__).resolve().parent
    inside = library / "resources"
    return inside if inside.is_dir() else library.parent / "Resources"


def sample_ct() -> Path:
    """The bundled CT, an average of several patients."""
    return resource_folder() / "Samples" / "head-neck-ct.nii.gz"
