"""The summary of a run: what it measures, how a scene keeps it, and what older scenes hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from segmentation_maker import STRUCTURES, a_segmentation

from SDSegLib.review.formatting import (
    color_code,
    grid_text,
    milliliters_text,
    seconds_text,
    time_left_text,
)
from SDSegLib.review.summary import RunSummary, SliceToReview, StructureVolume, summarise
from SDSegLib.volume.region import Region
from SDSegLib.volume.segmentation import Segmentation

# As the module 0.3.0 wrote it into the parameter node of a saved scene.
FORMER = {
    "model": "head-neck-oar 0.3.0",
    "device": "cpu: no GPU was found",
    "seconds": 12.5,
    "loadSeconds": 3.25,
    "samples": 5,
    "frames": 1,
    "structures": [
        {"id": "larynx", "name": "Larynx", "color": [150, 98, 83], "milliliters": 21.5},
        {"id": "mandible", "name": "Mandible", "color": [241, 214, 145], "milliliters": 0.0},
    ],
    "kept": ["Mandible"],
    "notes": ["Only the region was segmented."],
    "slices": [
        {
            "structure": "Larynx",
            "structureId": "larynx",
            "color": [150, 98, 83],
            "slice": 17,
            "instability": 0.75,
            "center": [1.5, -20.0, 33.0],
            "isChecked": True,
        }
    ],
}


def unsure(samples: int = 3) -> Segmentation:
    segmentation = a_segmentation()
    instability = np.where(segmentation.label_map == 4, 128, 0).astype(np.uint8)
    return replace(segmentation, instability=instability, samples=samples)


def test_it_measures_a_result() -> None:
    summary = summarise(unsure(), "cpu: asked for", 4.0, 1.0, ["Memory ran short."])
    volumes = unsure().volumes_ml()
    assert [(item.name, item.milliliters) for item in summary.structures] == [
        (item.name, volumes[item.name]) for item in STRUCTURES
    ]
    assert summary.missing == ("Mandible",)
    assert (summary.model, summary.samples, summary.frames) == ("head-neck-oar 1.0", 3, 1)
    assert summary.notes == ("Memory ran short.",)
    assert {item.structure for item in summary.slices} >= {"Larynx"}
    assert all(1 <= item.number <= 12 for item in summary.slices)
    single = summarise(a_segmentation(), "cpu: asked for", 4.0, 1.0)
    assert single.slices == ()


def test_a_region_is_noted() -> None:
    limited = replace(a_segmentation(), region=Region((0, 0, 0), (5, 6, 7)))
    summary = summarise(limited, "cpu: asked for", 1.0, 0.0, ["Something else."])
    assert summary.notes == ("Only the region was segmented.", "Something else.")


def test_a_scene_keeps_it() -> None:
    summary = summarise(unsure(), "cpu: asked for", 4.0, 1.0).with_checked(0, True)
    assert RunSummary.from_text(summary.to_text()) == summary
    assert json.loads(summary.to_text())["load_seconds"] == 1.0


def test_scenes_of_earlier_versions_are_read() -> None:
    summary = RunSummary.from_text(json.dumps(FORMER))
    assert summary == RunSummary(
        model="head-neck-oar 0.3.0",
        device="cpu: no GPU was found",
        seconds=12.5,
        load_seconds=3.25,
        samples=5,
        structures=(
            StructureVolume("larynx", "Larynx", (150, 98, 83), 21.5),
            StructureVolume("mandible", "Mandible", (241, 214, 145), 0.0),
        ),
        kept=("Mandible",),
        notes=("Only the region was segmented.",),
        slices=(
            SliceToReview("Larynx", "larynx", (150, 98, 83), 17, 0.75, (1.5, -20.0, 33.0), True),
        ),
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": "x"}', "null"])
def test_an_unknown_text_is_no_summary(text: str) -> None:
    assert RunSummary.from_text(text) is None


def test_a_second_run_keeps_what_the_first_found_of_other_structures() -> None:
    first = RunSummary.from_text(json.dumps(FORMER))
    assert first is not None
    second = replace(
        first,
        structures=(StructureVolume("larynx", "Larynx", (150, 98, 83), 20.0),),
        slices=(),
    )
    added = second.added_to(first)
    assert [(item.name, item.milliliters) for item in added.structures] == [
        ("Larynx", 20.0),
        ("Mandible", 0.0),
    ]
    assert added.slices == ()


@pytest.mark.parametrize(
    ("seconds", "text", "left"),
    [
        (0.4, "0.4 s", "1 s"),
        (8.25, "8.2 s", "9 s"),
        (34.4, "34 s", "35 s"),
        (59.7, "1 min 0 s", "1 min 0 s"),
        (80, "1 min 20 s", "1 min 30 s"),
        (7500, "2 h 5 min", "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str, left: str) -> None:
    assert seconds_text(seconds) == text
    assert time_left_text(seconds) == left


def test_other_numbers_and_colours() -> None:
    assert [milliliters_text(value) for value in (0.42, 12.34, 1540.2)] == ["0.42", "12.3", "1540"]
    assert grid_text((120, 512, 512), (0.9, 0.9, 3)) == "512 × 512 × 120 voxels of 0.9 × 0.9 × 3 mm"
    assert color_code((255, 0, 10)) == "#ff000a"


def test_patterns_can_be_translated() -> None:
    german = {"{minutes} min {seconds} s": "{minutes} Min. {seconds} Sek."}
    assert seconds_text(80, lambda text: german.get(text, text)) == "1 Min. 20 Sek."
