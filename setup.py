"""Which packages a wheel holds, and its page on the package index.

The packages are `sdseg`, all of SDSegLib, and the folder Resources as SDSegLib.resources. The page
is README.md with whole addresses, because the index knows nothing of the repository's other files.
Everything else is in pyproject.toml, which can say neither.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

ROOT = Path(__file__).resolve().parent
PLACEHOLDER = "TO-FILL-IN"


def index_readme(text: str, repository: str, version: str) -> str:
    """README.md for the package index: images and links lead to the files of this version.

    As long as the repository's address is a placeholder, images are left out and links are text.

    Args:
        text: Content of README.md.
        repository: Address of the repository on GitHub.
        version: Version of the code, whose tag has a "v" in front.
    """

    def image(match: re.Match[str]) -> str:
        raw = repository.replace("https://github.com", "https://raw.githubusercontent.com")
        return f"![{match[1]}]({raw}/v{version}/{match[2]})"

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({repository}/blob/v{version}/{match[2]})"

    relative = r"\((?!https?:|#)([^)\s]+)\)"
    is_filled_in = PLACEHOLDER not in repository
    text = re.sub(rf"!\[([^\]]*)\]{relative}", image if is_filled_in else "", text)
    return re.sub(rf"(?<!!)\[([^\]]*)\]{relative}", link if is_filled_in else r"\1", text)


def found(pattern: str, name: str) -> str:
    """The first group of a pattern in a file of the project."""
    match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{name} has no {pattern}")
    return match[1]


if __name__ == "__main__":
    setup(
        packages=[
            "sdseg",
            *find_packages(include=["SDSegLib", "SDSegLib.*"]),
            # Folders of files are packages as well, or setuptools warns that it may leave them out.
            "SDSegLib.web.page",
            *(
                f"SDSegLib.{name}"
                for name in find_namespace_packages("SDSegLib", include=["locale", "locale.*"])
            ),
            "SDSegLib.resources",
            *(f"SDSegLib.resources.{name}" for name in find_namespace_packages("Resources")),
        ],
        package_dir={
            "sdseg": "sdseg",
            "SDSegLib": "SDSegLib",
            "SDSegLib.resources": "Resources",
        },
        long_description=index_readme(
            (ROOT / "README.md").read_text(encoding="utf-8"),
            found(r'^repository = "(.*)"', "pyproject.toml"),
            found(r'^VERSION = "(.*)"', "SDSegLib/version.py"),
        ),
        long_description_content_type="text/markdown",
    )
