from __future__ import annotations

import subprocess

import pytest

from tandem_export.bundle.layout import check_path, digest_line, hash_file
from tandem_export.errors import BundleError


@pytest.mark.parametrize("name", ["tokenizer.json", "stablehlo/round_b1_g3.mlirbc", "a/b/c-d.e"])
def test_plain_relative_paths_are_allowed(name):
    assert check_path(name) == name


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "", "a/", "C:\\a", "a\\b", ".hidden"],
)
def test_paths_that_could_leave_the_bundle_are_refused(name):
    with pytest.raises(BundleError, match=r"a path in a bundle must be a relative path .* Got: "):
        check_path(name)


@pytest.mark.parametrize("name", ["run.py", "a/w.pkl", "a/w.PICKLE", "x.pyc"])
def test_code_is_refused(name):
    with pytest.raises(BundleError, match="a bundle holds no code"):
        check_path(name)


def test_the_digest_is_what_sha256sum_checks(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (tmp_path / "manifest.sha256").write_text(digest_line(b"{}"))
    subprocess.run(["sha256sum", "-c", "manifest.sha256"], cwd=tmp_path, check=True)
    assert digest_line(b"{}").startswith(hash_file(tmp_path / "manifest.json"))
