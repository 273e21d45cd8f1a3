"""Writes a bundle beside its destination and renames it there when it is whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from tandem_export.bundle import jax_export as artifact
from tandem_export.bundle import layout
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.jax_export import Artifact
from tandem_export.bundle.manifest import FileRecord, GraphRecord, Manifest
from tandem_export.bundle.parse import parse_manifest
from tandem_export.bundle.vetting import read_module
from tandem_export.bundle.weights import write_weights
from tandem_export.errors import BundleError
from tandem_export.storage import read_json, replace_folder, staging


class BundleWriter:
    """Collects the files of one bundle; nothing shows at `path` before `commit`.

        with BundleWriter(path) as writer:
            writer.add_file("tokenizer.json", data)
            writer.add_weights(tensors, "float32")
            writer.add_graph(record, {"cpu": Artifact(jax_export=serialized, stablehlo=module)})
            writer.commit(manifest)

    Leaving the block without `commit`, by an error or not, removes everything that was written and
    leaves what stood at `path` as it was. What a killed writer of the same `path` left beside it is
    removed on entering.

    Raises, on entering:
      BundleError: `path` exists and `overwrite` is False, or it is not a bundle.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        self.path = Path(path).absolute()
        self.overwrite = overwrite
        self._graphs: list[GraphRecord] = []
        self._closing = ExitStack()

    def __enter__(self) -> BundleWriter:
        _check_destination(self.path, self.overwrite)
        self._folder = self._closing.enter_context(staging(self.path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def add_file(self, name: str, data: bytes) -> Path:
        """Writes one file at the relative path `name`, and returns where it lies until `commit`.

        Raises:
          BundleError: the path is not allowed in a bundle, or was written already.
        """
        path = self._new_path(name)
        path.write_bytes(data)
        return path

    def add_weights(self, tensors: Mapping[str, np.ndarray], dtype: str) -> None:
        """Writes the weight store; floating tensors are cast to `dtype` one at a time."""
        write_weights(self._new_path(layout.WEIGHTS), tensors, dtype)

    def add_graph(self, record: GraphRecord, artifacts: Mapping[str, Artifact]) -> None:
        """Writes both forms of a graph for each platform.

        Args:
          record: what the manifest says of it; `files`, `platforms` and `custom_calls` are filled
            in, the last from the modules.
          artifacts: by platform.
        """
        forms: dict[str, bytes] = {}
        for platform, each in artifacts.items():
            forms[f"jax_export/{platform}"] = artifact.split(each.jax_export, each.stablehlo)
            forms[f"stablehlo/{platform}"] = each.stablehlo
        files = {kind: layout.graph_file(kind, record.name) for kind in forms}
        for kind, data in forms.items():
            self.add_file(files[kind], data)
        calls = {
            f"stablehlo/{platform}": read_module(each.stablehlo).custom_calls
            for platform, each in artifacts.items()
        }
        facts = {"files": files, "platforms": tuple(artifacts), "custom_calls": calls}
        self.add_record(dataclasses.replace(record, **facts))

    def add_record(self, record: GraphRecord) -> None:
        """Adds a graph whose `files` were written already."""
        self._graphs.append(record)

    def folder(self, name: str) -> Path:
        """Returns where the folder `name` is until `commit`, for libraries that write files."""
        path = self._folder / layout.check_path(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def weights(self) -> Path:
        """Where the weight store lies until `commit`."""
        return self._folder / layout.WEIGHTS

    def commit(self, manifest: Manifest) -> None:
        """Hashes every file, writes the manifest (`graphs` and `files` filled in), and renames.

        An older bundle at `path` is moved aside first and deleted last; if the rename fails it is
        moved back.

        Raises:
          BundleError: the manifest breaks its schema, a graph does what its role may not do, or
            something new stands at `path`.
          OSError: the rename failed.
        """
        complete = dataclasses.replace(manifest, graphs=tuple(self._graphs), files=self._hashes())
        data = complete.to_json()
        parse_manifest(data)
        Bundle(path=self._folder, manifest=complete).check_graphs()
        (self._folder / layout.DIGEST).write_text(layout.digest_line(data), "utf-8")
        (self._folder / layout.MANIFEST).write_bytes(data)
        _check_destination(self.path, self.overwrite)  # again: a build takes minutes
        try:
            replace_folder(self._folder, self.path)
        except OSError:
            _check_destination(self.path, self.overwrite)  # another build was faster by a moment
            raise

    def _new_path(self, name: str) -> Path:
        path = self._folder / layout.check_path(name)
        if path.exists() or name in (layout.MANIFEST, layout.DIGEST):
            raise BundleError(f"{name!r} was written already, or is the writer's own file name")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _hashes(self) -> dict[str, FileRecord]:
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {
            path.relative_to(self._folder).as_posix(): FileRecord(
                sha256=layout.hash_file(path), bytes=path.stat().st_size
            )
            for path in paths
        }


def _check_destination(path: Path, overwrite: bool) -> None:
    if not (path.exists() or path.is_symlink()):
        return
    if not _is_bundle(path):
        hint = "Name a path that does not exist, or remove what is there."
        raise BundleError(f"{path} exists and is not a bundle, so it is left alone. {hint}")
    if not overwrite:
        raise BundleError(f"{path} is a bundle already. Pass `overwrite=True` to replace it.")


def _is_bundle(path: Path) -> bool:
    if path.is_symlink() or not (path / layout.MANIFEST).is_file():
        return False
    try:
        values = read_json(path / layout.MANIFEST, error=BundleError)
    except BundleError:
        return False
    return isinstance(values, dict) and {"format_version", "graphs", "files"} <= values.keys()
