"""An opened bundle: its graphs, weights and tokenizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tandem_export.bundle import artifact, layout
from tandem_export.bundle.manifest import GraphRecord, Manifest
from tandem_export.bundle.weights import map_weights
from tandem_export.errors import BundleError
from tandem_export.storage import read_bytes, read_text

# Graphs hold no weights: that of an 8B pair with the most in it has 3 MB.
GRAPH_LIMIT = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle.

    Attributes:
      path: its folder.
      replaced: tensors that stand in for those of the weight store, by name.
    """

    path: Path
    manifest: Manifest
    replaced: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def tokenizer_path(self) -> Path:
        """The `tokenizer.json` of the pair."""
        return self.path / layout.TOKENIZER

    @property
    def chat_template(self) -> str | None:
        """The jinja template that makes a prompt of messages, or None.

        Raises:
          BundleError: it is not UTF-8.
        """
        if layout.CHAT_TEMPLATE not in self.manifest.files:
            return None
        return read_text(self.path / layout.CHAT_TEMPLATE, error=BundleError)

    def weights(self) -> dict[str, np.ndarray]:
        """Every tensor by its bundle name, `part.tensor`: read-only views of the mapped file."""
        return map_weights(self.path / layout.WEIGHTS) | dict(self.replaced)

    def in_form(self, form: str) -> Bundle:
        """This bundle with those graphs only that are stored in `form`, such as `onnx`.

        Raises:
          BundleError: there are none; the text lists the forms that exist.
        """
        graphs = tuple(graph for graph in self.manifest.graphs if form in graph.files)
        if not graphs:
            have = sorted({kind for graph in self.manifest.graphs for kind in graph.files})
            hint = "Build it with the target that makes them."
            raise BundleError(f"the bundle has no {form!r} graphs; it has: {have}. {hint}")
        manifest = dataclasses.replace(self.manifest, graphs=graphs)
        return dataclasses.replace(self, manifest=manifest)

    def graph(self, name: str) -> GraphRecord:
        """The graph of this name.

        Raises:
          BundleError: there is none; the text lists those that exist.
        """
        found = [graph for graph in self.manifest.graphs if graph.name == name]
        if not found:
            names = sorted(graph.name for graph in self.manifest.graphs)
            raise BundleError(f"no graph {name!r} in this bundle; it has: {names}")
        return found[0]

    def graph_bytes(self, name: str, kind: str = "jax_export") -> bytes:
        """One form of a graph: what `jax.export.deserialize` takes, or the portable StableHLO.

        Raises:
          BundleError: no such graph, or not in the form `kind`.
        """
        same = [g for g in self.manifest.graphs if g.name == name and kind in g.files]
        if not same:
            have = sorted(self.graph(name).files)
            raise BundleError(f"graph {name!r} has no form {kind!r}; it has: {have}")
        files = same[0].files
        data = self._bytes(files[kind])
        if kind != "jax_export":
            return data
        if "stablehlo" not in files:
            raise BundleError(f"graph {name!r} has the form {kind!r} without its 'stablehlo'")
        return artifact.join(data, self._bytes(files["stablehlo"]), name=files[kind])

    def _bytes(self, file: str) -> bytes:
        return read_bytes(self.path / file, limit=GRAPH_LIMIT, error=BundleError)

    def find(
        self,
        role: str,
        *,
        batch: int | None = None,
        gamma: int | None = None,
        width: int | None = None,
    ) -> GraphRecord:
        """The graph of a role and bucket; what is None is not compared.

        Raises:
          BundleError: none fits, or more than one; the text lists the buckets that exist.
        """
        asked = {"batch": batch, "gamma": gamma, "width": width}
        asked = {name: value for name, value in asked.items() if value is not None}
        same_role = [graph for graph in self.manifest.graphs if graph.role == role]
        found = [g for g in same_role if all(getattr(g, k) == v for k, v in asked.items())]
        if len(found) == 1:
            return found[0]
        wish = " ".join(f"{name}={value}" for name, value in asked.items())
        raise BundleError(
            f"`{role}` {wish} must name one graph. Got: {len(found)}. {self._choices(role)}"
        )

    def _choices(self, role: str) -> str:
        buckets = [
            f"{g.name} (batch={g.batch} gamma={g.gamma} width={g.width})"
            for g in self.manifest.graphs
            if g.role == role
        ]
        if buckets:
            return f"Built for this role: {', '.join(buckets)}"
        return f"Roles built: {sorted({g.role for g in self.manifest.graphs})}"
