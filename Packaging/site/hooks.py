"""What the documentation site adds to the files in `docs`; MkDocs calls these functions.

- Pages that lie elsewhere in the repository (security, training log, model cards, …) are part of
  the site. Those that a checkout lacks are left out of the navigation.
- Links follow: to a page of the site, to the repository if its address is known
  (`extra.repository` in mkdocs.yml), else they become plain text.
- `<!-- generated: NAME -->` in a page is replaced by what the code says.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from cli_reference import command_pages  # noqa: E402
from model_json_reference import schema_tables  # noqa: E402

GENERATED = {"commands": command_pages, "model.json": schema_tables}
ELSEWHERE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "TECH_DEBT.md": "project/tech-debt.md",
    "SECURITY.md": "project/security.md",
    "Testing/README.md": "project/tests.md",
    "examples/README.md": "tutorials/examples.md",
    "Training/README.md": "project/training.md",
    "Training/LOG.md": "project/training-log.md",
    "Resources/Samples/README.md": "project/sample.md",
    "Resources/Models/head-neck-oar/MODEL_CARD.md": "models/head-neck-oar.md",
    "Resources/Models/propagate/MODEL_CARD.md": "models/propagate.md",
    "Resources/Models/foundation/MODEL_CARD.md": "models/foundation.md",
    "Packaging/SDSeg.png": "images/logo.png",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)(```+).*?^\1\2`*\s*$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- generated: ([\w.-]+) -->")


def on_config(config: Any) -> Any:
    """Leave out of the navigation what this checkout lacks; the rest has to exist."""
    config.nav = [entry for entry in map(_present, config.nav) if entry]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Take the pages up that lie elsewhere."""
    for source, uri in ELSEWHERE.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put in what is generated, and let links lead where they lead in the repository."""
    text = _MARKER.sub(lambda match: GENERATED[match[1]](), markdown)
    source = _source(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if picture or re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        uri = next((place for place in _places(wanted) if files.get_file_from_path(place)), None)
        if uri is not None:
            here = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
            return f"[{words}]({here}{'#' + anchor if anchor else ''})"
        if wanted.startswith("docs/") or not (ROOT / wanted).exists():
            return match[0]  # a mistake: MkDocs tells it
        repository = config.extra.get("repository")
        return f"[{words}]({repository}/{wanted})" if repository else words

    return _outside_fences(text, lambda part: _LINK.sub(led, part))


def _present(entry: Any) -> Any:
    """An entry of the navigation without what does not exist and may be missing; None if nothing
    is left."""
    if isinstance(entry, str):
        return None if _may_be_left_out(entry) else entry
    ((title, inner),) = entry.items()
    if isinstance(inner, str):
        return None if _may_be_left_out(inner) else entry
    kept = [item for item in map(_present, _expanded(inner)) if item]
    return {title: kept} if kept else None


def _expanded(entries: list[Any]) -> list[Any]:
    """Entries of which `folder/*` stands for all pages of a folder, in the order of their names."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/*"):
            pages = sorted(
                (ROOT / "docs" / entry[:-2]).glob("*.md"),
                key=lambda page: (page.stem not in ("index", "README"), page.name),
            )
            found += [page.relative_to(ROOT / "docs").as_posix() for page in pages]
        else:
            found.append(entry)
    return found


def _may_be_left_out(uri: str) -> bool:
    source = _source(uri)
    return source in ELSEWHERE and not (ROOT / source).is_file()


def _source(uri: str) -> str:
    """The path in the repository of a page of the site."""
    for source, place in ELSEWHERE.items():
        if place == uri:
            return source
    return f"docs/{uri}"


def _places(path: str) -> list[str]:
    """Where a path of the repository may be in the site; a folder is its first page."""
    names = [path, f"{path}/index.md", f"{path}/README.md"]
    found = [ELSEWHERE[name] for name in names if name in ELSEWHERE]
    return found + [name.removeprefix("docs/") for name in names if name.startswith("docs/")]


def _outside_fences(text: str, change: Any) -> str:
    pieces, at = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*pieces, change(text[at:])])
