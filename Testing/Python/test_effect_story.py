"""The effect "SDSeg Propagate": from three drawn slices to a corrected and saved structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from effect_parts import Person, disc, patient, person, preview_nodes
from standin_fixtures import application, module_widget, process_events

__all__ = ["application", "module_widget", "person"]


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def test_draw_three_slices_propagate_correct_one_propagate_and_save(
    person: Person, tmp_path: Path
) -> None:
    body = patient()
    person.choose_effect("Paint")
    for number in (10, 20, 30):
        person.stroke(number, body)
    drawn = person.mask()
    person.choose_effect()
    assert person.drawn() == [10, 20, 30]
    assert person.session.problem == ""
    person.ui.betweenButton.click()
    person.wait_for_preview()
    assert person.session.error == ""
    assert len(preview_nodes()) == 1
    assert (person.mask() == drawn).all()  # a preview changes nothing
    person.ui.applyButton.click()
    process_events(0.05)
    assert preview_nodes() == []
    first = person.mask()
    assert (first[[10, 20, 30]] == drawn[[10, 20, 30]]).all()
    between = [z for z in range(11, 30) if z != 20]
    copied = body[[min((10, 20, 30), key=lambda drawn: abs(drawn - z)) for z in between]]
    overlaps = [dice(slices, body[between]) for slices in (first[between], copied)]
    assert overlaps[0] > 0.96
    assert overlaps[0] > overlaps[1]
    assert not first[:10].any()
    assert not first[31:].any()
    assert person.drawn() == [10, 20, 30]

    person.choose_effect("Paint")
    smaller = body & ~disc(person.shape, 25)  # a piece was wrong there
    person.stroke(25, smaller)
    person.wait_for_preview()  # it follows the stroke while Paint is in use
    assert person.drawn() == [10, 20, 25, 30]
    person.choose_effect()
    person.ui.applyButton.click()
    process_events(0.05)
    second = person.mask()
    assert (second[[10, 20, 30]] == drawn[[10, 20, 30]]).all()
    assert (second[25] == smaller[25]).all()
    assert second[24].sum() < first[24].sum()

    path = tmp_path / "organ.seg.nrrd"
    from SDSegLib.mrml.storage import load_segmentation_node, save_segmentation_node

    save_segmentation_node(person.node, path)
    person.choose_effect("")
    person.node = load_segmentation_node(path)
    assert (person.mask() == second).all()
    person.editor.setSegmentationNode(person.node)
    person.editor.setSourceVolumeNode(person.ct)
    person.editor.setCurrentSegmentID("organ")
    person.choose_effect()
    assert person.drawn() == [10, 20, 25, 30]
