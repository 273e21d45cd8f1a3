"""An opened bundle: its graphs, weights and tokenizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tandem_export.bundle import layout
from tandem_export.bundle.facts import SavedModelFacts
from tandem_export.bundle.jax_export import Artifact, join
from tandem_export.bundle.manifest import GraphRecord, Manifest
from tandem_export.bundle.vetting import check_graph, check_model
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
    replaced: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

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
        """Maps every tensor by its bundle name, `part.tensor`: read-only views of the file."""
        return map_weights(self.path / layout.WEIGHTS) | dict(self.replaced)

    def in_form(self, form: str) -> Bundle:
        """Returns the bundle with those graphs only that are stored in `form`, such as `onnx`.

        Raises:
          BundleError: there are none; the text lists the forms that exist.
        """
        graphs = tuple(graph for graph in self.manifest.graphs if form in graph.forms)
        if not graphs:
            have = sorted({kind for graph in self.manifest.graphs for kind in graph.forms})
            hint = "Build it with the target that makes them."
            raise BundleError(f"the bundle has no {form!r} graphs; it has: {have}. {hint}")
        manifest = dataclasses.replace(self.manifest, graphs=graphs)
        return dataclasses.replace(self, manifest=manifest)

    def graph(self, name: str) -> GraphRecord:
        """Returns the graph of this name.

        Raises:
          BundleError: there is none; the text lists those that exist.
        """
        graphs = [graph for graph in self.manifest.graphs if graph.name == name]
        if not graphs:
            names = sorted(graph.name for graph in self.manifest.graphs)
            raise BundleError(f"no graph {name!r} in this bundle; it has: {names}")
        return graphs[0]

    def graph_bytes(self, name: str, form: str) -> bytes:
        """Returns one form of a graph, checked against what its role may hold.

        `jax_export/PLATFORM` is what `jax.export.deserialize` takes, `stablehlo/PLATFORM` the
        portable artifact, `onnx` a model.

        Raises:
          BundleError: no such graph, not in this form, or one that does what its role may not do.
        """
        graph = self._in_form(name, form)
        kind, _, platform = form.partition("/")
        if kind != "jax_export":
            return self._checked(graph, form)
        return self.artifact(name, platform or graph.platforms[0]).jax_export

    def artifact(self, name: str, platform: str) -> Artifact:
        """Returns both forms of a StableHLO graph for one platform, checked as `graph_bytes` does.

        Raises:
          BundleError: as `graph_bytes`.
        """
        # Format 1 has one artifact for all platforms, under a name without any.
        old = [g for g in self.manifest.graphs if g.name == name and "jax_export" in g.files]
        place = "" if old and platform in old[0].platforms else f"/{platform}"
        graph = self._in_form(name, f"jax_export{place}")
        module = self._checked(self._in_form(name, f"stablehlo{place}"), f"stablehlo{place}")
        file = graph.files[f"jax_export{place}"]
        return Artifact(jax_export=join(self._bytes(file), module, name=file), stablehlo=module)

    def graph_path(self, name: str, form: str) -> Path:
        """Returns the file of one form of a graph, checked as `graph_bytes` does.

        Raises:
          BundleError: as `graph_bytes`.
        """
        graph = self._in_form(name, form)
        self._checked(graph, form)
        return self.path / graph.files[form]

    @property
    def savedmodel(self) -> SavedModelFacts:
        """What the manifest says of the SavedModel.

        Raises:
          BundleError: the bundle has none.
        """
        facts = self.manifest.targets.savedmodel
        if facts is None:
            have = sorted(self.manifest.not_after)
            rule = f"the manifest of {self.path} must state its SavedModel"
            raise BundleError(f"{rule}. Got: parts {have}. Build it with the format `savedmodel`.")
        return facts

    def savedmodel_path(self) -> Path:
        """Returns the version folder of the SavedModel, which was checked before.

        Raises:
          BundleError: there is none, or it does what no graph of its roles may do.
        """
        graphs = self.in_form("savedmodel").manifest.graphs
        folder = self.savedmodel.folder
        files = [name for name in self.manifest.files if name.startswith(f"{folder}/")]
        data = self._bytes(graphs[0].files["savedmodel"])
        check_model(graphs, [name.removeprefix(f"{folder}/") for name in files], data)
        return self.path / folder

    def check_graphs(self) -> None:
        """Checks every graph in every form.

        Raises:
          BundleError: the first that does what its role may not do; the text names it.
        """
        for graph in self.manifest.graphs:
            for form in graph.files:
                if form.partition("/")[0] in ("onnx", "stablehlo"):
                    self._checked(graph, form)
        if any("savedmodel" in graph.forms for graph in self.manifest.graphs):
            self.savedmodel_path()

    def _in_form(self, name: str, form: str) -> GraphRecord:
        same = [g for g in self.manifest.graphs if g.name == name and form in g.files]
        if not same:
            have = sorted(self.graph(name).files)
            hint = "Build the bundle for that platform or target."
            raise BundleError(f"graph {name!r} has no form {form!r}; it has: {have}. {hint}")
        return same[0]

    def _checked(self, graph: GraphRecord, form: str) -> bytes:
        data = self._bytes(graph.files[form])
        check_graph(graph, form, data)
        return data

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
        """Returns the graph of a role and bucket; what is None is not compared.

        Raises:
          BundleError: none fits, or more than one; the text lists the buckets that exist.
        """
        bucket = {"batch": batch, "gamma": gamma, "width": width}
        bucket = {name: value for name, value in bucket.items() if value is not None}
        same_role = [graph for graph in self.manifest.graphs if graph.role == role]
        fitting = [g for g in same_role if all(getattr(g, k) == v for k, v in bucket.items())]
        if len(fitting) == 1:
            return fitting[0]
        wish = " ".join(f"{name}={value}" for name, value in bucket.items())
        raise BundleError(
            f"`{role}` {wish} must name one graph. Got: {len(fitting)}. {self._choices(role)}"
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
