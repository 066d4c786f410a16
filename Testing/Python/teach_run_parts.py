"""What the tests of the parts of a teaching run share: cases, a plan and models to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from teach_parts import write_foundation
from tiny_model import STRUCTURES
from training_parts import SEEN, a_collection, tiny_preset

from SDSegLib.families import build_family
from SDSegLib.families.description import ModelDescription
from SDSegLib.models.folder import (
    write_model_folder,
)
from SDSegLib.teaching.cases import CaseFacts, TeachCases
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.plan import Plan, folds_of
from SDSegLib.training.recipe import describe as describe_training


def case_facts(width: float = 20.0, extent: float = 400.0, spacing: float = 0.98) -> CaseFacts:
    return CaseFacts(spacing, extent, {1: width}, {1: 12.0}, {1: 0.9}, {"section_cm2": 500.0})


def some_cases(names: tuple[str, ...] = ("a", "b"), **changes: float) -> TeachCases:
    collection = a_collection(1)
    return TeachCases(
        collection,
        STRUCTURES[:1],
        {name: name for name in names},
        {name: case_facts(**changes) for name in names},
    )


def a_plan(patients: Mapping[str, str], known: set[str] | None = None) -> Plan:
    known = known or set()
    folds = folds_of(patients, known=known)
    return Plan(folds, tuple(patients), SEEN, minutes=10.0, known=frozenset(known))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    write_foundation(tmp_path / "models" / "foundation")
    return tmp_path / "models"


def a_parent(models: Path, kind: str, structures: int = 2) -> ModelDescription:
    """A model of a family that segments, with random weights."""
    torch.manual_seed(3)
    preset = tiny_preset(kind)
    described = describe_training(preset, a_collection(structures), SEEN, f"{kind}-parent")
    family = build_family(described)
    return write_model_folder(models / described.name, described, family.state_dict(), "# Parent")


def options(models: Path, **changes: object) -> TeachOptions:
    return TeachOptions(models.parent / "mine", **changes)  # type: ignore[arg-type]
