"""Model folders and zip archives, and what the page gets sent."""

from __future__ import annotations

import io
import os
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import mutators
from outcome import OTHER, REFUSED, SAME, SILENT, Outcome, outcome_of

from SDSegLib.models.registry import install_model, installed_models
from SDSegLib.web.uploads import free_path, unpack


@dataclass(frozen=True)
class Models:
    """Model folders and zip archives of one.

    Attributes:
        name: For the table.
        model: A good model folder.
    """

    name: str
    model: Path

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Install a damaged model, or find it among the user's."""
        home = folder / "home"
        given = folder / "given"
        given.mkdir()
        for file in self.model.iterdir():
            (given / file.name).write_bytes(file.read_bytes())
        if dice.random() < 0.6:
            self._damage_folder(given, dice)
        source = given
        if dice.random() < 0.5:
            source = folder / "model.zip"
            source.write_bytes(_zipped(given, dice))
        with patch.dict(os.environ, {"SDSEG_MODELS": str(home)}):

            def install() -> Outcome:
                install_model(source)
                models, _ = installed_models()
                return Outcome(SAME if models else REFUSED)

            def find() -> Outcome:
                home.mkdir()
                given.rename(home / "given")
                models, problems = installed_models()
                if not any(model.bundled for model in models):
                    return Outcome(SILENT, f"the bundled models are gone: {problems}", folder)
                return Outcome(REFUSED if problems else SAME)

            way = install if source != given or dice.random() < 0.5 else find
            return outcome_of(way, folder)

    @staticmethod
    def _damage_folder(folder: Path, dice: random.Random) -> None:
        file = dice.choice(sorted(folder.iterdir()))
        data = file.read_bytes()
        if file.suffix == ".json" and dice.random() < 0.7:
            data = mutators.number_in_text(data, dice)
        else:
            data = mutators.anything(data, dice)
        file.write_bytes(data)


def _zipped(folder: Path, dice: random.Random) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as a:
        for file in sorted(folder.iterdir()):
            a.write(file, dice.choice(("", "model/", "../", "/", "a/b/")) + file.name)
    data = packed.getvalue()
    return mutators.anything(data, dice) if dice.random() < 0.6 else data


@dataclass(frozen=True)
class Uploads:
    """Names and zip archives that the page gets sent.

    Attributes:
        name: For the table.
        contents: A file to be packed.
    """

    name: str
    contents: bytes

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Unpack a damaged archive; everything must stay in its folder."""
        private = folder / "private"
        private.mkdir()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in {f"f{_name(dice)}" for _ in range(dice.randrange(4))}:
                archive.writestr(name, self.contents)
        data = packed.getvalue()
        if dice.random() < 0.7:
            data = mutators.anything(data, dice)
        source = folder / "sent.zip"
        source.write_bytes(data)

        def work() -> Outcome:
            for _ in range(3):
                free_path(private, _name(dice)).touch()
            try:
                return Outcome(SAME if unpack(source, private / "unpacked") else OTHER)
            finally:
                outside = {p for p in folder.rglob("*") if p.is_file() and private not in p.parents}
                if outside != {source}:
                    raise AssertionError(f"written outside: {outside}")

        return outcome_of(work, folder)


def _name(dice: random.Random) -> str:
    parts = ("..", "a", "ct.nii.gz", "/", "\\", "\0", "con", " ", ".", "ß", "x" * 300, "\n", "-rf")
    return "".join(dice.choice(parts) for _ in range(dice.randrange(1, 6)))
