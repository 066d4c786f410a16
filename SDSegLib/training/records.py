"""`settings.json` of a run: all settings that determine its result, to resume or repeat it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..families.description import FORMER_PREDICTIONS
from ..language import tr
from ..version import VERSION
from .overrides import flattened
from .recipe import find_preset
from .settings import Preset

FORMAT = 1
FILE = "settings.json"
# Settings that may differ when a run is resumed: they change its duration, not a step's result.
FREE = (
    "steps",
    "minutes",
    "cool_down",
    "checkpoint_minutes",
    "log_every",
    "validate_every",
    "validations",
    "validation_slices",
    "patience",
)


def record_of(
    preset: Preset, dataset: str, options: dict[str, Any], sources: list[Path]
) -> dict[str, Any]:
    """Content of `settings.json` for a run; JSON types only."""
    return {
        "format": FORMAT,
        "sdseg": VERSION,
        "preset": preset.name,
        "dataset": dataset,
        "options": json.loads(json.dumps(options, default=str)),
        "init": [path.name for path in sources],
        "values": flattened(preset),
    }


def keep_record(folder: Path, record: dict[str, Any], writes: bool = True) -> bool:
    """Write the record, or check that the run in the folder is the same one.

    Args:
        folder: Of the run.
        record: What determines its result.
        writes: Whether this process does; of several that learn together only one, so that the
            others do not take a run for an earlier one.

    Returns:
        Whether an earlier run is resumed.

    Raises:
        InputError: If settings differ from those of the run in the folder; it names them.
    """
    path = folder / FILE
    continues = path.is_file()
    if continues:
        _compare(path, read_record(path), record)
    if not writes:
        return continues
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{FILE}.{os.getpid()}")
    fresh.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, path)
    return continues


def read_record(path: Path) -> dict[str, Any]:
    """Read a `settings.json`; setting names of earlier versions are converted to current ones.

    Raises:
        InputError: If the file does not exist or is not a `settings.json`.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(
                tr("its format is {format!r}, not {known}").format(
                    format=record["format"], known=FORMAT
                )
            )
        values = dict(record["values"])
        prediction = values.get("diffusion.prediction")
        if prediction in FORMER_PREDICTIONS:
            values["diffusion.prediction"] = FORMER_PREDICTIONS[prediction]
        return {**record, "preset": find_preset(record["preset"]).name, "values": values}
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}).").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            tr("{path} holds no settings of a training run ({error}).").format(
                path=path, error=error
            )
        ) from error


def _compare(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    differences = [
        tr("{name} {before!r} there, {now!r} now").format(
            name=name, before=before.get(name), now=now[name]
        )
        for name in ("preset", "dataset", "options", "init")
        if before.get(name) != now[name]
    ]
    if not differences:
        # The default of a setting added after the run began is the earlier behaviour.
        old, new = flattened(find_preset(before["preset"])) | before["values"], now["values"]
        differences = [
            tr("{name} {old!r} there, {new!r} now").format(
                name=name, old=old.get(name), new=new.get(name)
            )
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name) and name.rpartition(".")[2] not in FREE
        ]
    if differences:
        raise InputError(
            tr(
                "{path} holds another run ({differences}). Give the same settings to go on with "
                "it, or another --output."
            ).format(path=path.parent, differences="; ".join(differences))
        )
