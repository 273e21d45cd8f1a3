"""Adds what was found out about a finished bundle to its manifest."""

from __future__ import annotations

import dataclasses

from tandem_export.bundle import layout
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.manifest import encode
from tandem_export.bundle.parse import parse_manifest
from tandem_export.config import to_dict
from tandem_export.errors import BundleError
from tandem_export.jsontypes import Json
from tandem_export.storage import link_tree, read_json, replace_folder, staging


def add_tuning(bundle: Bundle, **findings: Json) -> Bundle:
    """Returns the bundle with `findings`, fields of `Tuning`, in its manifest.

    No other file changes, and what the manifest says that this release does not know stays in it.

    Manifest and digest change together: a folder of links to the bundle's files, with new ones of
    these two, takes the bundle's place in one step.

    Raises:
      BundleError: the new manifest breaks the schema.
    """
    tuning = dataclasses.replace(bundle.manifest.tuning, **findings)
    values = read_json(bundle.path / layout.MANIFEST, error=BundleError)
    values["tuning"] |= {name: to_dict(tuning)[name] for name in findings}
    data = encode(values)
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
    manifest = dataclasses.replace(bundle.manifest, tuning=tuning)
    return dataclasses.replace(bundle, manifest=manifest)
