"""Damage inputs of every kind and count what comes of them; see the page on reliability.

    python Testing/Fuzz/run.py --inputs 5000 --seed 1 --table docs/explanation/reliability.md

The exit code is 1 if any outcome is bad: a traceback, an unforeseen error, a silent difference,
something written elsewhere, something of the patient that is printed, more than 20 s or 2 GiB. A
crash of this program would be one of the product.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Python"), str(HERE.parents[1])]

from archives import Models, Uploads  # noqa: E402
from case_folders import CaseFolders, write_good_collection  # noqa: E402
from dicom_labels import (  # noqa: E402
    SEGMENTATION_CHANGES,
    STRUCTURE_SET_CHANGES,
    DicomLabels,
    write_good_segmentation,
    write_good_structure_set,
)
from drawn_masks import DrawnMasks, write_good_drawings  # noqa: E402
from images import Images, Noise, Pictures, write_good_images, write_good_pictures  # noqa: E402
from mask_folders import MaskFolders, write_good_masks  # noqa: E402
from name_files import NameFiles, write_good_data  # noqa: E402
from outcome import BAD, OUTCOMES, Outcome, Target  # noqa: E402
from scenes import Scenes, write_good_scene  # noqa: E402
from series import SeriesOfFiles, write_good_series  # noqa: E402
from supervision import supervised  # noqa: E402
from taught_runs import TaughtRuns, stopped_run  # noqa: E402
from wire import Wire  # noqa: E402

_SHARES = {"NRRD": 5, "MetaImage": 5, "NIfTI": 5, "pictures": 3, "DICOM series": 4, "noise": 1,
           "models": 3, "uploads": 2, "worker's messages": 2, "structure sets": 4,
           "DICOM Segmentations": 4, "scenes": 4, "folders of masks": 4, "case collections": 4,
           "names": 4, "unfinished teaching": 1, "drawn masks": 4}  # fmt: skip
_HEADING = "## Fuzzing"
_MEANING = """\
Inputs of every kind, damaged at random, and what came of them. “Another valid value” is a change
that the format gives no means to notice, such as another number in a header. The good inputs hold a
name, a date of birth and an ID of a patient; nothing that is printed or logged may contain them.
Nothing may be written except where the user said. An input may take 20 s of computing and 2 GiB of
memory."""
_PREFIX = "sdseg-fuzz-"


@contextmanager
def all_targets(folder: Path) -> Iterator[list[Target]]:
    """Every reader with its good inputs, written into a folder."""
    from tiny_model import write_tiny_model

    for name in ("images", "pictures", "model"):
        (folder / name).mkdir()
    images = write_good_images(folder / "images")
    wire = Wire("worker's messages")

    def of(*suffixes: str) -> list[Path]:
        return [path for name, path in images.items() if name.endswith(suffixes)]

    try:
        yield [
            Images("NRRD", of(".nrrd", ".nhdr")),
            Images("MetaImage", of(".mha", ".mhd")),
            Images("NIfTI", of(".nii", ".nii.gz")),
            Pictures("pictures", write_good_pictures(folder / "pictures")),
            SeriesOfFiles("DICOM series", write_good_series(folder / "series")),
            Noise(),
            Models("models", write_tiny_model(folder / "model" / "tiny")),
            Uploads("uploads", images["raw.nii"].read_bytes()),
            wire,
            *more_targets(folder),
        ]
    finally:
        wire.close()


def more_targets(folder: Path) -> list[Target]:
    """Readers of data sets, collections, drawn masks and runs, with good inputs."""
    patients = folder / "patients"
    return [
        DicomLabels(
            "structure sets",
            write_good_structure_set(patients / "contours"),
            True,
            STRUCTURE_SET_CHANGES,
        ),
        DicomLabels(
            "DICOM Segmentations",
            write_good_segmentation(patients / "segments"),
            False,
            SEGMENTATION_CHANGES,
        ),
        Scenes("scenes", write_good_scene(folder / "scene")),
        MaskFolders("folders of masks", write_good_masks(folder / "masks")),
        CaseFolders("case collections", write_good_collection(folder / "cases")),
        NameFiles("names", write_good_data(folder / "names")),
        TaughtRuns("unfinished teaching", stopped_run(folder / "taught")),
        DrawnMasks("drawn masks", write_good_drawings(folder / "drawn")),
    ]


def fuzz(
    targets: Sequence[Target], inputs: int, seed: int, keep: Path | None = None
) -> tuple[dict[str, Counter[str]], list[tuple[str, int, Outcome]]]:
    """Run inputs through all targets.

    Args:
        targets: The readers.
        inputs: Number of inputs in all.
        seed: Input n of a target is the same for the same seed.
        keep: Where inputs with a bad outcome are copied to.

    Returns:
        Counts by target and outcome, and the bad ones with the target's name and input's number.
    """
    counts: dict[str, Counter[str]] = {target.name: Counter() for target in targets}
    bad = []
    total = sum(_SHARES[target.name] for target in targets)
    for target in targets:
        for number in range(-(-inputs * _SHARES[target.name] // total)):
            with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
                outcome = _outcome(target, f"{seed} {target.name} {number}", Path(name))
                counts[target.name][outcome.kind] += 1
                if outcome.kind in BAD:
                    bad.append((target.name, number, outcome))
                    if keep is not None and outcome.input is not None:
                        place = keep / f"{target.name}-{number}".replace(" ", "-")
                        shutil.copytree(outcome.input, place, dirs_exist_ok=True)
    return counts, bad


def _outcome(target: Target, seed: str, folder: Path) -> Outcome:
    place = folder / "input"
    place.mkdir()
    return supervised(lambda: target.run(random.Random(seed), place), place)


def table(counts: dict[str, Counter[str]]) -> str:
    """The counts as a table in Markdown."""
    rows = [f"| | inputs | {' | '.join(OUTCOMES)} |", f"| --- |{' ---: |' * (len(OUTCOMES) + 1)}"]
    whole: Counter[str] = sum(counts.values(), Counter())
    for name, found in [*counts.items(), ("**all**", whole)]:
        cells = [f"{found[kind]:,}" for kind in OUTCOMES]
        rows.append(f"| {name} | {found.total():,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def write_section(path: Path, text: str) -> None:
    """Replace the section "Fuzzing" of a page, or add it."""
    before = path.read_text(encoding="utf-8") if path.is_file() else "# Reliability\n"
    start = before.find(_HEADING)
    if start < 0:
        path.write_text(f"{before.rstrip()}\n\n{text}", encoding="utf-8")
        return
    end = before.find("\n## ", start + 1)
    rest = "" if end < 0 else before[end:]
    path.write_text(before[:start] + text + rest, encoding="utf-8")


def main() -> int:
    """Run, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="name of one target")
    parser.add_argument("--keep", type=Path, help="folder for inputs with a bad outcome")
    parser.add_argument("--table", type=Path, help="page whose section gets the table")
    arguments = parser.parse_args()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as name,
        all_targets(Path(name)) as found,
    ):
        chosen = [item for item in found if arguments.only in (None, item.name)]
        counts, bad = fuzz(chosen, arguments.inputs, arguments.seed, arguments.keep)
    text = table(counts)
    sys.stdout.write(f"{text}\n\n{time.monotonic() - started:.0f} s\n")
    for target, number, outcome in bad:
        sys.stdout.write(f"{target} {number}: {outcome.kind}: {outcome.detail}\n")
    if arguments.table is not None:
        command = f"python Testing/Fuzz/run.py --inputs {arguments.inputs} --seed {arguments.seed}"
        write_section(
            arguments.table,
            f"{_HEADING}\n\n{_MEANING}\n\nThe table is written by `{command}`.\n\n{text}\n",
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
