"""Which packages a wheel holds: all of SDSegLib, and the folder Resources as SDSegLib.resources.

Everything else is in pyproject.toml, which cannot say "all that are found, and this one besides".
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["SDSegLib", "SDSegLib.*"]), "SDSegLib.resources"],
    package_dir={"SDSegLib": "SDSegLib", "SDSegLib.resources": "Resources"},
)
