"""Adds what was found out about a finished bundle to its manifest."""

from __future__ import annotations

import dataclasses
from typing import Any

from tandem_export.bundle import layout
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.parse import parse_manifest
from tandem_export.storage.folders import link_tree, replace_folder, staging


def add_tuning(bundle: Bundle, section: str, values: dict[str, Any]) -> Bundle:
    """The bundle with `values` as its manifest's `tuning[section]`; no other file changes.

    Manifest and digest change together: a folder of links to the bundle's files, with new ones of
    these two, takes the bundle's place in one step.

    Raises:
      BundleError: the new manifest breaks the schema.
    """
    tuning = bundle.manifest.tuning | {section: values}
    manifest = dataclasses.replace(bundle.manifest, tuning=tuning)
    data = manifest.to_json()
    parse_manifest(data)
    with staging(bundle.path) as folder:
        link_tree(bundle.path, folder)
        for name, text in (
            (layout.MANIFEST, data),
            (layout.DIGEST, layout.digest_line(data).encode()),
        ):
            (folder / name).unlink()
            (folder / name).write_bytes(text)
        replace_folder(folder, bundle.path)
    return dataclasses.replace(bundle, manifest=manifest)
