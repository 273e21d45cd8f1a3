"""Signatures of manifests: the real minisign's, and what a changed bundle must not pass."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tandem_export.bundle import open_bundle
from tandem_export.bundle.layout import DIGEST, MANIFEST, SIGNATURE, digest_line
from tandem_export.bundle.signature import check_signature, read_key
from tandem_export.cli import main
from tandem_export.cli.places import BundlePath
from tandem_export.errors import BundleError, ConfigError
from tandem_export.measure import bench
from tests.bundle import sample

# Written by minisign 0.11: `minisign -G -W -p k.pub -s k.key`, then, of the file with FILE in it,
# `minisign -S -s k.key -m FILE -t "bundle sample"` and the same with -l, the form before 0.10.
FILE = b'{"name":"sample"}'
KEY = "RWSIdszyG8Xzps6e/8LN6g0buo5DxjtcV0t5Oamc3qS0PtAmKbCDC18w"
SIGNED = """\
untrusted comment: signature from minisign secret key
RUSIdszyG8Xzpu10cIR1oWZ9H47A8UWfmUPaR+t9lzOKdzJM+hq9xxxfnIuXs3TcsoE3GJsGIhb6/n22QJFNWkL4eraKlJAB6gY=
trusted comment: bundle sample
bFU1uskYLmABky4ZKxFoaJdMr1Lv4tbeWWtu73CDTfl8r1FkDnPdIbjKBiqa6Y80gn58BTnuvrGQPSQHz6kRDw==
"""
OLD_FORM = """\
untrusted comment: signature from minisign secret key
RWSIdszyG8XzpmaEDBaUwz3AH6t02c82j+HqSmij7lgcHzeO9W7HK+bxnE58F/DVM0fZugl3KtF22W9888/ACzJMpj95kKKERgY=
trusted comment: legacy
/tyl3gzP60YsoJ6LcH5BzD/ymOWiB4yHxmx3CCspst6sq/IIq36tbXqOYs+qdKI5xKWqnizsqaEiIsnhY+V5Ag==
"""


@pytest.mark.parametrize("as_file", [False, True], ids=["text", "file"])
def test_what_minisign_signed_is_accepted(tmp_path: Path, as_file: bool) -> None:
    (tmp_path / "k.pub").write_text(f"untrusted comment: minisign public key\n{KEY}\n")
    (tmp_path / SIGNATURE).write_text(SIGNED)
    check_signature(tmp_path, FILE, read_key(tmp_path / "k.pub" if as_file else KEY))


@pytest.mark.parametrize(
    ("signed", "text"),
    [
        (SIGNED.replace("bundle sample", "bundle sampled"), "comment .* the key did not sign"),
        (SIGNED.replace("Xzpu10", "Xzpu11"), "must be of this manifest.* the key did not sign"),
        (OLD_FORM, "must be a signature of minisign 0.10 or later.* b'Ed'"),
        ("no signature", "four lines"),
        (SIGNED.replace("trusted comment: bundle", "comment: bundle"), "no 'trusted comment: '"),
    ],
    ids=["comment", "signature", "old-form", "text", "no-comment"],
)
def test_another_signature_is_refused(tmp_path: Path, signed: str, text: str) -> None:
    (tmp_path / SIGNATURE).write_text(signed)
    with pytest.raises(BundleError, match=text):
        check_signature(tmp_path, FILE, read_key(KEY))


class Signer:
    """A key of minisign, and signatures with it."""

    def __init__(self, number: bytes = b"12345678") -> None:
        self.private, self.number = Ed25519PrivateKey.generate(), number

    @property
    def public(self) -> str:
        return base64.b64encode(
            b"Ed" + self.number + self.private.public_key().public_bytes_raw()
        ).decode()

    def sign(self, folder: Path) -> None:
        digest = hashlib.blake2b((folder / MANIFEST).read_bytes()).digest()
        signature, comment = self.private.sign(digest), b"made by a test"
        first = base64.b64encode(b"ED" + self.number + signature).decode()
        second = base64.b64encode(self.private.sign(signature + comment)).decode()
        lines = ["untrusted comment: none", first, f"trusted comment: {comment.decode()}", second]
        (folder / SIGNATURE).write_text("\n".join(lines) + "\n")


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Signer]:
    path, signer = sample.write(tmp_path / "b"), Signer()
    signer.sign(path)
    return path, signer


def test_a_signed_bundle_opens_with_its_key_and_without_one(signed) -> None:
    path, signer = signed
    assert open_bundle(path, verify_key=signer.public).manifest == open_bundle(path).manifest


def test_a_manifest_that_was_edited_with_its_hash_is_refused(signed) -> None:
    path, signer = signed
    sample.edit(path, lambda values: values.update(name="other"))
    assert open_bundle(path).manifest.name == "other"
    with pytest.raises(BundleError, match=r"of this manifest.* the key did not sign"):
        open_bundle(path, verify_key=signer.public)


def test_a_file_that_was_edited_is_refused_whatever_the_manifest_says(signed) -> None:
    path, signer = signed
    (path / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(BundleError, match=r"'tokenizer\.json' is damaged"):
        open_bundle(path, verify_key=signer.public)
    digest = hashlib.sha256(b"[]").hexdigest()
    sample.edit(path, lambda v: v["files"]["tokenizer.json"].update(sha256=digest))
    open_bundle(path)
    with pytest.raises(BundleError, match="did not sign"):
        open_bundle(path, verify_key=signer.public)


def test_another_key_is_named(signed) -> None:
    path, _ = signed
    with pytest.raises(BundleError, match=r"by the key 6867666564636261.* Got: 3837363534333231"):
        open_bundle(path, verify_key=Signer(b"abcdefgh").public)
    with pytest.raises(BundleError, match="did not sign"):  # the same number, another key
        open_bundle(path, verify_key=Signer().public)


def test_without_a_signature_the_hint_says_how_to_sign(tmp_path: Path) -> None:
    path = sample.write(tmp_path / "b")
    with pytest.raises(BundleError, match=r"must be signed\. Got: no file .*minisign -S -m /"):
        open_bundle(path, verify_key=KEY)


@pytest.mark.parametrize("key", ["", "nothing", KEY[:-4], KEY.replace("RW", "RU"), "/tmp"], ids=str)
def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="`verify_key` must be a minisign public key"):
        open_bundle(sample.write(tmp_path / "b"), verify_key=key)


def test_hashes_must_be_checked_with_a_key(signed) -> None:
    path, signer = signed
    with pytest.raises(ConfigError, match="`verify_key` needs `verify_hashes`"):
        open_bundle(path, verify_key=signer.public, verify_hashes=False)


# What a command takes besides the bundle.
ARGUMENTS = {"generate": ["a"], "evaluate": ["--text", __file__]}
# Commands that take a bundle, or something else in its place.
OR_ELSE = ("compile", "evaluate")


def takes_a_bundle(command: click.Command) -> bool:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    return any(isinstance(one.type, BundlePath) for one in arguments) or command.name in OR_ELSE


@pytest.mark.parametrize("name", sorted(n for n, c in main.commands.items() if takes_a_bundle(c)))
def test_every_command_checks_the_signature_before_it_reads_a_bundle(signed, name: str) -> None:
    path, signer = signed
    (path / MANIFEST).write_bytes(data := b"no JSON")
    (path / DIGEST).write_text(digest_line(data))
    arguments = [name, str(path), *ARGUMENTS.get(name, [])]
    failed = CliRunner().invoke(main, [*arguments, "--verify-key", signer.public])
    assert failed.exit_code == 2 and "did not sign" in failed.output


def test_the_command_line_takes_what_was_signed(signed) -> None:
    path, signer = signed
    shown = CliRunner().invoke(main, ["inspect", str(path), "--verify-key", signer.public])
    assert shown.exit_code == 0


def test_the_baseline_of_a_benchmark_must_be_signed_too(signed, tmp_path: Path) -> None:
    path, signer = signed
    other = sample.write(tmp_path / "other")
    with pytest.raises(BundleError, match=f"must be signed.*{other}"):
        bench(path, baseline=other, verify_key=signer.public)


def test_what_is_no_bundle_has_no_signature() -> None:
    failed = CliRunner().invoke(main, ["compile", "2b", "--verify-key", KEY])
    assert failed.exit_code == 2
    assert "which this is not. Got: '2b'" in failed.output
