"""Adds what was found out about a finished bundle to its manifest."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path
from typing import Any

from tandem_export.bundle import layout
from tandem_export.bundle.access import Bundle
from tandem_export.bundle.manifest import Manifest
from tandem_export.bundle.parse import parse_manifest


def add_tuning(bundle: Bundle, section: str, values: dict[str, Any]) -> Bundle:
    """The bundle with `values` as its manifest's `tuning[section]`; no other file changes.

    The manifest and its digest are each replaced whole. Whoever opens the bundle between the two
    replacements is told that the manifest is damaged.

    Raises:
      BundleError: the new manifest breaks the schema.
    """
    tuning = bundle.manifest.tuning | {section: values}
    manifest: Manifest = dataclasses.replace(bundle.manifest, tuning=tuning)
    data = manifest.to_json()
    parse_manifest(data)
    _replace(bundle.path / layout.MANIFEST, data)
    _replace(bundle.path / layout.DIGEST, layout.digest_line(data).encode())
    return dataclasses.replace(bundle, manifest=manifest)


def _replace(path: Path, data: bytes) -> None:
    # Beside the bundle: what a broken-off call leaves is then no unlisted file inside it.
    new = path.parent.with_name(f".{path.parent.name}.{path.name}.{secrets.token_hex(4)}")
    new.write_bytes(data)
    new.replace(path)
