"""What a bundle is, as JSON-ready facts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from tandem_export.bundle import layout
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.manifest import GraphRecord
from tandem_export.jsontypes import JsonObject


def describe(bundle: Bundle) -> JsonObject:
    """Returns facts for people and scripts: sizes in bytes, buckets, graphs, hashes, expiry."""
    manifest, stated = bundle.manifest, bundle.manifest.to_dict()
    sizes = _sizes(bundle)
    return {
        "path": str(bundle.path),
        "name": manifest.name,
        "format_version": manifest.format_version,
        "created": manifest.created,
        "model": stated["model"],
        "checkpoint": stated["checkpoint"],
        "options": stated["options"],
        "parity": sorted({graph.parity for graph in manifest.graphs}),
        "graphs": [_graph_facts(bundle, graph) for graph in manifest.graphs],
        "bytes": sizes | {"total": sum(sizes.values())},
        "files": {name: record.sha256 for name, record in sorted(manifest.files.items())},
        "not_after": manifest.not_after,
        "expired": manifest.expired(datetime.now(UTC).date()),
        "versions": manifest.versions,
        "targets": stated["targets"],
        "tuning": stated["tuning"],
    }


def _sizes(bundle: Bundle) -> dict[str, int]:
    """Returns bytes by part: a form of the graphs, a top-level folder, a file without suffix."""
    sizes: Counter[str] = Counter()
    form = {
        name: kind.partition("/")[0]
        for graph in bundle.manifest.graphs
        for kind, name in graph.files.items()
    }
    for name, record in sorted(bundle.manifest.files.items()):
        sizes[form.get(name, name.split("/")[0].split(".")[0])] += record.bytes
    unlisted = (layout.MANIFEST, layout.DIGEST)
    sizes["manifest"] = sum((bundle.path / name).stat().st_size for name in unlisted)
    return dict(sizes)


def _graph_facts(bundle: Bundle, graph: GraphRecord) -> JsonObject:
    files = bundle.manifest.files
    return {
        "name": graph.name,
        "role": graph.role,
        "batch": graph.batch,
        "gamma": graph.gamma,
        "width": graph.width,
        "parity": graph.parity,
        "difference": graph.difference,
        "platforms": list(graph.platforms),
        "custom_calls": {form: list(calls) for form, calls in graph.custom_calls.items()},
        "stablehlo_version": graph.stablehlo_version,
        "opset": graph.opset,
        "calling_convention_version": graph.calling_convention_version,
        "arguments": {
            part: len(getattr(graph, part)) for part in ("params", "state", "inputs", "outputs")
        },
        "bytes": {kind: files[name].bytes for kind, name in graph.files.items()},
    }
