"""Every command and example of the documentation is run here, or parsed, or marked as in need.

`doc_blocks.py` says which is which and why, `doc_world.py` makes the files that the pages name.
"""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from command_parts import Outcome, Run, sdseg
from doc_blocks import PICTURED, SHELLS, Block, blocks_of, check, is_run, pages
from doc_fixtures import template, world
from doc_world import OUTPUTS, in_this_world, names_of_python

__all__ = ["sdseg", "template", "world"]  # fixtures


def runnable(block: Block) -> bool:
    """Whether something of a block is run."""
    if block.needs:
        return False
    return block.language == "python" or (
        block.language in SHELLS and any(map(is_run, block.commands()))
    )


PAGES_TO_RUN = [page for page in pages() if any(map(runnable, blocks_of(page)))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_TO_RUN)
def test_what_a_page_says_works(page: str, world: Path, sdseg: Run) -> None:
    names = names_of_python()
    for block in filter(runnable, blocks_of(page)):
        if block.language == "python":
            source = in_this_world(block.text)
            make_room(re.findall(r'write_\w+\([^)"]*"([^"]+)"', source))
            try:
                exec(compile(source, str(block), "exec"), names)
            except Exception as error:
                raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error
            continue
        text = in_this_world(block.text)
        for words in Block(page, block.line, block.language, text).commands():
            if is_run(words):
                outcome = type_it(words[1:], sdseg)
                assert outcome.code == 0, f"{block}: {' '.join(words)}\n{outcome.err}"


def type_it(arguments: list[str], sdseg: Run) -> Outcome:
    """Run a command; what an earlier one of the page has written there is out of the way."""
    if "--plan" not in arguments:
        make_room([value for option, value in pairwise(arguments) if option in OUTPUTS])
    return sdseg(*arguments)


def make_room(names: list[str]) -> None:
    for path in map(Path, names):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.mark.parametrize("page", pages())
def test_every_command_can_be_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, options, extras and scripts exist, also of what is too costly to be run here."""
    for block in blocks_of(page):
        if block.language == "json":
            json.loads(block.text)
        elif block.language in SHELLS and not block.needs:
            for words in block.commands():
                try:
                    check(words, monkeypatch)
                except AssertionError as error:
                    raise AssertionError(f"{block}: {' '.join(words)}\n{error}") from None
        else:
            known = block.language in (*SHELLS, *PICTURED, "python")
            assert known, f"{block}: the tests know no language {block.language!r}"


def test_a_mistake_in_a_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (
        "sdseg segment ct.nii.gz --outptu x.seg.nrrd",
        "sdseg segments ct.nii.gz",
        "sdseg segment",
        "sdseg train … --no-such-option 1",
        "sdseg segment ct.nii.gz --samples many",
        "python Training/nothing.py",
        "python Training/pack.py --no-such-option",
        "python Training/propagate.py train … --no-such-option",
        'pip install -e ".[everything]"',
        "pytest Testing/Python/test_nothing.py",
        "curl https://example.org",
    ):
        with pytest.raises(AssertionError):
            check(next(Block("page", 1, "sh", wrong).commands()), monkeypatch)
    for right in (
        "sdseg train … --set training.steps=20",
        "sdseg cases list my-cases",
        "python Training/propagate.py train … --decay 2000 --output x",
        'pip install -e ".[train,web]"',
    ):
        check(next(Block("page", 1, "sh", right).commands()), monkeypatch)


def test_a_marker_belongs_to_the_block_below_it() -> None:
    (marked,) = [block for block in blocks_of("docs/how-to/dicom-seg.md") if block.needs]
    assert marked.needs == "DCMTK and a PACS"
    assert next(marked.commands())[0] == "storescu"
