"""Whether SDSeg is ready to be released, in plain words.

    python Packaging/release.py check      what is missing, disagrees or is still to be filled in
    python Packaging/release.py write      copy the facts to all places that state them, then check

The facts are in `[tool.sdseg.project]` of pyproject.toml; the version is in `SDSegLib/version.py`.
`check` ends with 1 if there is anything to tell. With --allow-placeholders it ends with 0 if only
facts are missing that the project's owners have to fill in; with --tag it compares the tag as well.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "TO-FILL-IN"
TABLE = "pyproject.toml, [tool.sdseg.project]"
UNRELEASED = "Unreleased"
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\] - (?P<date>.+)$", re.MULTILINE)
MODEL_LINE = re.compile(
    r"^- `(?P<name>[\w.-]+)` (?P<version>\S+) \(format (?P<format>\d+), "
    r"weights (?P<weights>[0-9a-f]{12})\)",
    re.MULTILINE,
)
# Files in which a placeholder stands on purpose, or is spoken of.
KNOW_THE_PLACEHOLDER = (
    "Packaging/release.py", "Testing/Python/test_release.py", "setup.py",
    "SDSegLib/models/online.py", "Testing/Python/test_models_download.py", "CONTRIBUTING.md",
)  # fmt: skip
TEXT_FILES = (".py", ".md", ".toml", ".json", ".cff", ".txt", ".yml", ".yaml", ".cmake")
NOT_OURS = (".git", ".venv", "build", "dist", "out", "runs", "node_modules", "site")


@dataclass(frozen=True)
class Facts:
    """What is stated in one place only.

    Attributes:
        version: Version of the code.
        authors: Each with `given-names`, `family-names` and `affiliation`.
        contact: Address for mail.
        repository: Address of the repository, without a slash at its end.
        documentation: Address of the documentation.
        released: Day of the release as YYYY-MM-DD, or a placeholder.
        description: The project's description in pyproject.toml.
    """

    version: str
    authors: tuple[dict[str, str], ...]
    contact: str
    repository: str
    documentation: str
    released: str
    description: str

    @property
    def raw(self) -> str:
        """Where files of the main branch can be fetched."""
        host = "https://raw.githubusercontent.com"
        return self.repository.replace("https://github.com", host) + "/main"


@dataclass(frozen=True)
class Place:
    """A place in a file that repeats a fact.

    Attributes:
        path: The file, seen from the project's folder.
        what: What stands there, for messages.
        pattern: The value is its group 1; it is searched for line by line.
        value: The value that belongs there.
    """

    path: str
    what: str
    pattern: str
    value: Callable[[Facts], str]


def _names(facts: Facts) -> str:
    people = (f'{{ name = "{a["given-names"]} {a["family-names"]}"' for a in facts.authors)
    first, *others = people
    return ", ".join([f'{first}, email = "{facts.contact}" }}', *(f"{p} }}" for p in others)])


def _contributors(facts: Facts) -> str:
    return ", ".join(
        f"{a['given-names']} {a['family-names']} ({a['affiliation']})" for a in facts.authors
    )


def _cited_authors(facts: Facts) -> str:
    return "".join(
        f'  - given-names: "{a["given-names"]}"\n    family-names: "{a["family-names"]}"\n'
        f'    affiliation: "{a["affiliation"]}"\n'
        for a in facts.authors
    )


def _pictures(facts: Facts) -> str:
    names = ("result", "propagate", "review")
    return " ".join(f"{facts.raw}/docs/images/{name}.png" for name in names)


def _files(facts: Facts) -> str:
    """Where the documentation finds files of the repository; null as long as it is not known."""
    return "null" if PLACEHOLDER in facts.repository else f"{facts.repository}/blob/main"


def _released(facts: Facts) -> str:
    return UNRELEASED if PLACEHOLDER in facts.released else facts.released


PLACES = (
    Place("pyproject.toml", "the authors", r"^authors = \[(\{ name = .*)\]$", _names),
    Place("pyproject.toml", "Homepage", r'^Homepage = "(.*)"', lambda f: f.repository),
    Place(
        "pyproject.toml", "Documentation", r'^Documentation = "(.*)"', lambda f: f.documentation
    ),
    Place(
        "pyproject.toml",
        "Changelog",
        r'^Changelog = "(.*)"',
        lambda f: f"{f.repository}/blob/main/CHANGELOG.md",
    ),
    Place("pyproject.toml", "Issues", r'^Issues = "(.*)"', lambda f: f"{f.repository}/issues"),
    Place(
        "CITATION.cff", "the authors", r"^authors:\n((?:  .*\n)+)(?=repository-code)",
        _cited_authors,
    ),
    Place("CITATION.cff", "the version", r"^version: (.*)$", lambda f: f.version),
    Place("CITATION.cff", "the date", r'^date-released: "(.*)"$', lambda f: f.released),
    Place("CITATION.cff", "the repository", r'^repository-code: "(.*)"$', lambda f: f.repository),
    Place("CHANGELOG.md", "the date of the newest version", r"^## \[\d.*\] - (.*)$", _released),
    Place("CMakeLists.txt", "the homepage", r'EXTENSION_HOMEPAGE "(.*)"', lambda f: f.repository),
    Place(
        "CMakeLists.txt", "the contributors", r'EXTENSION_CONTRIBUTORS "(.*)"', _contributors
    ),
    Place(
        "CMakeLists.txt",
        "the icon",
        r'EXTENSION_ICONURL "(.*)"',
        lambda f: f"{f.raw}/Packaging/SDSeg.png",
    ),
    Place("CMakeLists.txt", "the screenshots", r'EXTENSION_SCREENSHOTURLS "(.*)"', _pictures),
    Place("mkdocs.yml", "the address of files", r"^  repository: (.*)$", _files),
    Place("SDSeg.json", "scm_url", r'"scm_url": "(.*)"', lambda f: f"{f.repository}.git"),
    Place(
        "SDSegLib/models/online.py",
        "the index of models",
        r'^DEFAULT_INDEX = "(.*)"$',
        lambda f: f"{f.repository}/releases/download/models/models.json",
    ),
    Place(
        ".github/ISSUE_TEMPLATE/config.yml",
        "the address for security",
        r"^    url: (.*/security/advisories/new)$",
        lambda f: f"{f.repository}/security/advisories/new",
    ),
    Place(
        ".github/ISSUE_TEMPLATE/config.yml",
        "the documentation",
        r"^    url: ((?!.*/security/).*)$",
        lambda f: f.documentation,
    ),
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=("check", "write"))
    parser.add_argument("--allow-placeholders", action="store_true")
    parser.add_argument("--tag", default="", help="the tag of the release, such as v1.2.3")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    facts = read_facts(chosen.root)
    if chosen.command == "write":
        for path in write(chosen.root, facts):
            say(f"Changed {path}")
    models = ", ".join(f"{model['name']} {model['version']}" for model in bundled(chosen.root))
    say(f"SDSeg {facts.version}; models: {models}")
    wrong, unfilled = list(problems(chosen.root, facts, chosen.tag)), list(placeholders(facts))
    for text in wrong:
        say(f"Wrong: {text}")
    for text in unfilled:
        say(f"To fill in: {text}")
    if not wrong and not unfilled:
        say("Ready to be released.")
    elif not wrong:
        say(f"Everything else is in order. Fill in {TABLE}, then: Packaging/release.py write")
    return 1 if wrong or (unfilled and not chosen.allow_placeholders) else 0


def read_facts(root: Path) -> Facts:
    """The facts of a project's folder.

    Raises:
        KeyError: If one of them is missing.
    """
    with (root / "pyproject.toml").open("rb") as file:
        content = tomllib.load(file)
    table = content["tool"]["sdseg"]["project"]
    texts = ("contact", "repository", "documentation", "released")
    return Facts(
        version=version_of(root),
        authors=tuple(table["authors"]),
        description=content["project"]["description"],
        **{name: table[name] for name in texts},
    )


def version_of(root: Path) -> str:
    """The version of the code, which is not imported."""
    text = (root / "SDSegLib" / "version.py").read_text(encoding="utf-8")
    found = re.findall(r'^VERSION = "(.*)"$', text, re.MULTILINE)
    return found[0] if len(found) == 1 else ""


def placeholders(facts: Facts) -> Iterator[str]:
    """Facts that are not filled in."""
    for name in ("contact", "repository", "documentation", "released"):
        if PLACEHOLDER in getattr(facts, name):
            yield f"{name} ({TABLE})"
    for number, author in enumerate(facts.authors, start=1):
        for part, text in author.items():
            if PLACEHOLDER in text:
                yield f"{part} of author {number} ({TABLE})"


def problems(root: Path, facts: Facts, tag: str = "") -> Iterator[str]:
    """All that is missing or disagrees, each in one sentence."""
    yield from _wrong_facts(facts, tag)
    yield from _disagreeing_places(root, facts)
    yield from _stray_placeholders(root)
    yield from _wrong_changelog(root, facts)
    yield from _wrong_models(root)
    yield from _wrong_extension(root)
    yield from _missing_files(root)


def write(root: Path, facts: Facts) -> list[str]:
    """Put the facts into all places that repeat them; the files that changed."""
    changed = []
    for place in PLACES:
        path = root / place.path
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        match = re.search(place.pattern, text, re.MULTILINE)
        if match is None or match[1] == place.value(facts):
            continue
        start, end = match.span(1)
        changed_text = text[:start] + place.value(facts) + text[end:]
        path.write_text(changed_text, encoding="utf-8", newline="\n")
        changed.append(f"{place.path}: {place.what}")
    return changed


def bundled(root: Path) -> list[dict[str, Any]]:
    """The descriptions of the bundled models, by name."""
    paths = sorted((root / "Resources" / "Models").glob("*/model.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _wrong_facts(facts: Facts, tag: str) -> Iterator[str]:
    if not SEMANTIC.fullmatch(facts.version):
        yield f"SDSegLib/version.py: {facts.version!r} is no semantic version such as 1.2.3."
    if tag and tag != f"v{facts.version}":
        yield f"The tag is {tag}, and the version of the code is {facts.version}."
    for name in ("repository", "documentation"):
        address = getattr(facts, name)
        if not address.startswith("https://") or address.endswith("/"):
            yield f"{TABLE}: {name} {address} must begin with https:// and not end with a slash."
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", facts.contact):
        yield f"{TABLE}: contact {facts.contact} is no address for mail."
    if not facts.authors:
        yield f"{TABLE}: authors are missing."
    if PLACEHOLDER not in facts.released and not _is_day(facts.released):
        yield f"{TABLE}: released {facts.released!r} is no day such as 2027-01-31."


def _disagreeing_places(root: Path, facts: Facts) -> Iterator[str]:
    for place in PLACES:
        path = root / place.path
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        match = re.search(place.pattern, text, re.MULTILINE)
        if match is None:
            yield f"{place.path} does not state {place.what}."
        elif match[1] != place.value(facts):
            yield (
                f"{place.path}: {place.what} is {match[1].strip()!r} and should be "
                f"{place.value(facts).strip()!r}; Packaging/release.py write puts it right."
            )


def _stray_placeholders(root: Path) -> Iterator[str]:
    known = {place.path for place in PLACES} | set(KNOW_THE_PLACEHOLDER)
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if (
            name.parts[0] in NOT_OURS
            or name.as_posix() in known
            or path.suffix not in TEXT_FILES
            or not path.is_file()
        ):
            continue
        if PLACEHOLDER in path.read_text(encoding="utf-8", errors="replace"):
            yield f"{name.as_posix()} holds {PLACEHOLDER}, and nothing fills it in."


def _wrong_changelog(root: Path, facts: Facts) -> Iterator[str]:
    sections = _sections(root)
    if not sections or sections[0][0] != facts.version:
        newest = sections[0][0] if sections else "none"
        yield f"CHANGELOG.md: its newest version is {newest}, that of the code is {facts.version}."
    numbers = [_number(version) for version, _, _ in sections]
    if numbers != sorted(set(numbers), reverse=True):
        yield "CHANGELOG.md: the versions do not fall from the top to the bottom."
    for version, date, _ in sections[1:]:
        if not _is_day(date):
            yield f"CHANGELOG.md: {version} has no date such as 2027-01-31."


def _wrong_models(root: Path) -> Iterator[str]:
    sections = _sections(root)
    told: dict[tuple[str, str], str] = {}
    for version, _, text in sections:
        for match in MODEL_LINE.finditer(text):
            key = (match["name"], match["version"])
            if told.setdefault(key, match["weights"]) != match["weights"]:
                yield f"CHANGELOG.md: {' '.join(key)} has other weights in {version} than later."
    newest = {m["name"]: m for m in MODEL_LINE.finditer(sections[0][2])} if sections else {}
    formats = _formats(root)
    models = bundled(root)
    for model in models:
        name, version = model["name"], model["version"]
        if not SEMANTIC.fullmatch(version):
            yield f"The model {name} has the version {version!r}, which is none such as 1.2.3."
        if model["format"] not in formats:
            yield f"The model {name} has format {model['format']}; this code reads {formats}."
        digest = _digest(root / "Resources" / "Models" / name / "model.safetensors")
        if digest != model["weights"]["sha256"]:
            yield f"The weights of {name} are not those that its model.json names."
        if not model.get("license"):
            yield f"The model {name} states no licence."
        line = newest.get(name)
        if line is None:
            yield f"CHANGELOG.md: the newest version does not name the model {name} {version}."
        elif (line["version"], line["format"]) != (version, str(model["format"])):
            yield (
                f"CHANGELOG.md names {name} {line['version']}, format {line['format']}; the "
                f"bundled one is {version}, format {model['format']}."
            )
        elif line["weights"] != digest[:12]:
            yield (
                f"The weights of {name} {version} changed ({digest[:12]}, CHANGELOG.md says "
                f"{line['weights']}): weights that differ need a version of their own."
            )
    for name in sorted(set(newest) - {model["name"] for model in models}):
        yield f"CHANGELOG.md names the model {name}, which is not bundled."


def _wrong_extension(root: Path) -> Iterator[str]:
    entry = json.loads((root / "SDSeg.json").read_text(encoding="utf-8"))
    cmake = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    set_to = dict(re.findall(r'^set\(EXTENSION_(\w+) "(.*)"\)$', cmake, re.MULTILINE))
    if entry.get("category") != set_to.get("CATEGORY"):
        yield "SDSeg.json and CMakeLists.txt name different categories."
    if entry.get("build_dependencies", []) != set_to.get("DEPENDS", "").split():
        yield "SDSeg.json and CMakeLists.txt name different extensions that are needed."
    for key in ("ICONURL", "SCREENSHOTURLS"):
        for address in set_to.get(key, "").split():
            path = address.partition("/main/")[2]
            if not path or not (root / path).is_file():
                yield f"CMakeLists.txt: {key} names {address}, and there is no file {path!r}."


def _missing_files(root: Path) -> Iterator[str]:
    for name in ("LICENSE.txt", "README.md", "SECURITY.md", "CONTRIBUTING.md", "CITATION.cff"):
        if not (root / name).is_file():
            yield f"{name} is missing."


def _sections(root: Path) -> list[tuple[str, str, str]]:
    """Version, date and text of each section of CHANGELOG.md that has a version."""
    path = root / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = list(SECTION.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        (match["version"], match["date"].strip(), text[match.end() : end])
        for match, end in zip(found, ends, strict=True)
    ]


def _formats(root: Path) -> tuple[int, ...]:
    """The formats of model.json that the code reads."""
    text = (root / "SDSegLib" / "families" / "description.py").read_text(encoding="utf-8")
    match = re.search(r"^READABLE = \((.*)\)$", text, re.MULTILINE)
    return tuple(int(number) for number in re.findall(r"\d+", match[1])) if match else ()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
