"""docs/reference/versions.md says what the code and pyproject.toml say."""

from __future__ import annotations

import re
import tomllib

from tandem_export.bundle import FORMAT_VERSION
from tandem_export.targets.onnx.operators import IR_VERSION, OPSET
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "reference" / "versions.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# A row of the compatibility table -> the requirement that sets its version.
BOUNDS = {"jax": "jax", "TensorFlow": "tensorflow-cpu", "ONNX Runtime": "onnxruntime"} | {
    "OpenVINO": "openvino"
}


def row(first: str) -> list[str]:
    """The cells after `first` in the one row that begins with it and has a version next."""
    rows = re.findall(rf"^\| {re.escape(first)} \| ([\d.].*) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 1, f"{len(rows)} rows begin with {first}"
    return [cell.strip() for cell in rows[0].split("|")]


def test_the_oldest_versions_are_those_of_pyproject() -> None:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    for name, requirement in BOUNDS.items():
        assert f"{requirement}>={row(name)[0]}" in extras, name
    assert PROJECT["requires-python"] == f">={row('CPython')[0]}"


def test_this_release_writes_the_format_that_the_page_says() -> None:
    assert row(PROJECT["version"])[0] == str(FORMAT_VERSION)


def test_the_operator_set_is_the_one_that_is_written() -> None:
    assert f"opset {OPSET}, IR version {IR_VERSION}" in PAGE


def test_the_changelog_has_this_release() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    titles = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", text, re.MULTILINE)
    assert [title for title, _ in titles[:2]] == ["Unreleased", PROJECT["version"]]
    assert all(date for _, date in titles[1:])


def test_the_readme_names_this_releases_wheel() -> None:
    wheels = re.findall(r"tandem_export-(.+?)-py3", (ROOT / "README.md").read_text("utf-8"))
    assert set(wheels) == {PROJECT["version"]}
