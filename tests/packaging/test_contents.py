"""What the wheel and the source distribution hold, and what they say of themselves."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser

import pytest

from tests.packaging.distributions import ROOT, sdist, wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGE = "tandem_export/"
DEMO = "tandem_export/data/stdlib_mini/"
NEEDED = (
    "tandem_export/py.typed",
    "tandem_export/bundle/schema.json",
    "tandem_export/checkpoint/schema.json",
    "tandem_export/data/prompts.json",
    "tandem_export/tpu/plan/presets/2b.toml",
)
# What a reader of the source distribution needs to build, test and read the project.
IN_SOURCE = (
    *("pyproject.toml", "Makefile", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("RELEASING.md", "SECURITY.md", "mkdocs.yml", "docs/index.md", "tests/conftest.py"),
    *("requirements/test.txt", "examples/demo.py", "recipes/stdlib_mini/train.py"),
)


def in_wheel() -> dict[str, int]:
    """Files of the wheel and their sizes in bytes."""
    with zipfile.ZipFile(wheel()) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def in_sdist() -> dict[str, int]:
    """Files of the source distribution, without its top folder, and their sizes in bytes."""
    with tarfile.open(sdist()) as archive:
        return {m.name.partition("/")[2]: m.size for m in archive.getmembers() if m.isfile()}


def metadata() -> Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(wheel()) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.parametrize("files", [in_wheel, in_sdist])
def test_every_file_of_the_package_is_there_whole(files) -> None:
    sources = (path for path in (ROOT / "tandem_export").rglob("*") if path.is_file())
    sizes = {
        path.relative_to(ROOT).as_posix(): path.stat().st_size
        for path in sources
        if "__pycache__" not in path.parts
    }
    assert {name: size for name, size in files().items() if name.startswith(PACKAGE)} == sizes
    assert set(NEEDED) <= set(sizes)
    assert sum(size for name, size in sizes.items() if name.startswith(DEMO)) > 1_000_000


def test_the_wheel_holds_the_package_and_nothing_beside_it() -> None:
    tops = {name.partition("/")[0] for name in in_wheel()}
    assert tops == {"tandem_export", f"tandem_export-{PROJECT['version']}.dist-info"}


def test_the_source_distribution_can_be_tested_and_read() -> None:
    names = set(in_sdist())
    assert set(IN_SOURCE) <= names
    assert not [name for name in names if re.search(r"__pycache__|^build/|^\.venv", name)]


def test_the_licences_are_in_both() -> None:
    assert PROJECT["license-files"] == ["LICENSE", f"{DEMO}LICENSE.md"]
    for licence in PROJECT["license-files"]:
        [name] = [name for name in in_wheel() if name.endswith(f"/licenses/{licence}")]
        assert in_wheel()[name] == in_sdist()[licence] == (ROOT / licence).stat().st_size


def test_the_metadata_is_that_of_the_project() -> None:
    facts = metadata()
    assert (facts["Name"], facts["Version"]) == ("tandem-export", PROJECT["version"])
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == PROJECT["requires-python"]
    assert facts.get_all("License-File") == PROJECT["license-files"]
    assert set(facts.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert facts["Description-Content-Type"] == "text/markdown"
    assert (ROOT / "README.md").read_text("utf-8") in str(facts.get_payload())
