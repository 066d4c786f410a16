"""The texts that users see, for translators.

    python Packaging/texts.py write       collect all texts, and renew the files of every language
    python Packaging/texts.py add de      begin a language
    python Packaging/texts.py check       which of these files are not up to date

`Packaging/sdseg.pot` holds the texts of the library, the command and the page in English;
`SDSegLib/locale/de/LC_MESSAGES/sdseg.po` their translations, and `sdseg.mo` beside it is what the
program reads. The texts of the module of 3D Slicer are collected by 3D Slicer's own tools. Needs
Babel.
"""

from __future__ import annotations

import argparse
import inspect
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from SDSegLib.catalogues import DOMAIN, FOLDER  # noqa: E402
from SDSegLib.web.page_texts import translate_page, translate_script  # noqa: E402

LIBRARY = ROOT / "SDSegLib"
PAGE = LIBRARY / "web" / "page"
TEMPLATE = ROOT / "Packaging" / f"{DOMAIN}.pot"
WIDTH = 98
# With the places of their texts; `translate` is what a user interface hands on.
FUNCTIONS = {"tr": None, "trn": (1, 2), "translate": None}

HEADER = """\
# Texts of SDSeg, collected by Packaging/texts.py.
# {name} is a value and stays as it is; so do [bold]…[/], <b>…</b> and options such as --output."""

Text = str | tuple[str, ...]


def texts_of_code(path: Path) -> Iterator[Text]:
    """Texts in the calls of `tr`, `trn` and functions like them of a Python file."""
    with path.open("rb") as stream:
        for _, text, _, _ in extract("python", stream, FUNCTIONS):
            yield text


def texts_of_page(path: Path) -> list[str]:
    """Texts of an HTML file or a script of the page."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    translate = translate_script if path.suffix == ".js" else translate_page
    translate(path.read_text(encoding="utf-8"), keep)
    return found


def texts_of_commands() -> Iterator[tuple[Path, str]]:
    """The docstrings that the command shows as help, with the files that they stand in."""
    from SDSegLib.cli.app import app
    from SDSegLib.cli.command_texts import commands_of, help_of

    for function in commands_of(app):
        yield Path(inspect.getfile(inspect.unwrap(function))), help_of(function)


def all_texts() -> Iterator[tuple[Path, Text]]:
    """Every text, with the file that it stands in."""
    for path in sorted(LIBRARY.rglob("*.py")):
        yield from ((path, text) for text in texts_of_code(path))
    yield from texts_of_commands()
    for path in sorted(PAGE.iterdir()):
        if path.suffix in (".html", ".js"):
            yield from ((path, text) for text in texts_of_page(path))


def template() -> Catalog:
    """All texts in English, each once, with the files that it stands in."""
    catalogue = Catalog(project="SDSeg", charset="utf-8", fuzzy=False, header_comment=HEADER)
    for path, text in sorted(all_texts(), key=lambda item: (item[0].as_posix(), str(item[1]))):
        catalogue.add(text, locations=[(path.relative_to(ROOT).as_posix(), None)])
    return catalogue


def as_po(catalogue: Catalog) -> str:
    """A catalogue as text, without the dates that would change it every time."""
    for message in catalogue:
        message.flags.discard("python-format")  # a per cent sign is not a placeholder here
    stream = io.BytesIO()
    write_po(stream, catalogue, width=WIDTH, sort_by_file=True, include_previous=True)
    lines = stream.getvalue().decode("utf-8").splitlines(keepends=True)
    dates = ('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Language-Team')
    return "".join(line for line in lines if not line.startswith(dates))


def renewed(path: Path, english: Catalog) -> Catalog:
    """A language's translations, with the texts of today."""
    with path.open("rb") as stream:
        catalogue = read_po(stream, locale=path.parents[1].name)
    catalogue.update(english, no_fuzzy_matching=False)
    return catalogue


def files() -> dict[Path, bytes]:
    """Content of all files as it should be."""
    english = template()
    found = {TEMPLATE: as_po(english).encode()}
    for path in sorted(FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        catalogue = renewed(path, english)
        found[path] = as_po(catalogue).encode()
        stream = io.BytesIO()
        write_mo(stream, catalogue)
        found[path.with_suffix(".mo")] = stream.getvalue()
    return found


def out_of_date() -> list[str]:
    """The files that `write` would change, seen from the project's folder."""
    return [
        path.relative_to(ROOT).as_posix()
        for path, content in files().items()
        if not path.is_file() or path.read_bytes() != content
    ]


def write() -> None:
    """Write all files."""
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def add(language: str) -> None:
    """Begin a language, unless it is there."""
    path = FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_po(Catalog(locale=language, project="SDSeg")), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("write", help="collect all texts, and renew the files of every language")
    actions.add_parser("check", help="which files are not up to date")
    adding = actions.add_parser("add", help="begin a language")
    adding.add_argument("language", help="its code, such as de or pt_BR")
    arguments = parser.parse_args()
    if arguments.action == "add":
        add(arguments.language)
    if arguments.action == "check":
        for name in out_of_date():
            sys.stderr.write(f"{name} is not up to date; run: python Packaging/texts.py write\n")
        return bool(out_of_date())
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
