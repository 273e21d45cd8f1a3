"""Which batches and drafts a bundle can serve, read from its graphs.

A bundle here holds graphs of one form. Those with a state of their own (StableHLO, SavedModel) have
an `insert` graph for each batch and a round for each gamma; those of the `rows` contract (ONNX)
have single steps only, of which rounds are put together: a block of width G + 1 makes rounds of
gamma G.
"""

from __future__ import annotations

from collections.abc import Sequence

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.contract import CacheName
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime.request.admission import Limits
from tandem_export.runtime.rounds.protocol import RoundKind, RoundRole

_ROLES: tuple[RoundRole, ...] = ("round", "round_router")
_USUAL_GAMMA = 5


def batches_of(bundle: Bundle) -> list[int]:
    """Returns the batch buckets, smallest first.

    Raises:
      BundleError: the bundle has no graphs that can be driven.
    """
    anchors = _anchors(bundle)
    if not anchors:
        have = sorted({graph.role for graph in bundle.manifest.graphs})
        rule = (
            "the runtime needs a bundle with 'insert' graphs, or with 'primary_block' ones in ONNX"
        )
        raise BundleError(f"{rule}. Got: {have}")
    return sorted(anchors)


def limits_of(bundle: Bundle, batch: int | Sequence[int], gamma: int | None = None) -> Limits:
    """Returns what the graphs of one or several batch buckets can do; `gamma` as in `load`.

    Raises:
      BundleError: the bundle has no graphs of this batch.
      ConfigError: `gamma` is less than 1.
    """
    anchors, model = _anchors(bundle), bundle.manifest.model
    batches = [batch] if isinstance(batch, int) else sorted(batch)
    if not set(batches) <= set(anchors):
        raise BundleError(f"`batch` must be from {sorted(anchors)}. Got: {batch}")
    _check_gamma(gamma)
    gammas = _common([_gammas(bundle, size) for size in batches])
    return Limits(
        batch=batches[-1],
        cache=min(cache_of(anchors[size]) for size in batches),
        vocab_size=model.vocab_size,
        gammas=gammas,
        gamma=_default_gamma(gammas["round"]) if gamma is None else gamma,
        tau=0.0 if model.tau is None else model.tau,
        end_tokens=frozenset(model.end_tokens),
    )


def cache_of(graph: GraphRecord) -> int:
    """Returns the positions S of the primary's cache `[B, K, S, H]` in a graph that takes it.

    Raises:
      BundleError: the graph takes no such cache.
    """
    keys = str(CacheName("primary", "k", 0))
    shapes = [spec.shape for spec in graph.state if spec.name == keys]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        rule = f"graph {graph.name!r} must take the state {keys!r} of 4 axes"
        raise BundleError(f"{rule}. Got: {[spec.name for spec in graph.state][:4]}. Rebuild it.")
    return shapes[0][2]


def _check_gamma(gamma: int | None) -> None:
    if gamma is not None and not (type(gamma) is int and gamma >= 1):
        rule = "None or a whole number of at least 1; mode 'primary' drafts nothing"
        raise ConfigError(f"`gamma` must be {rule}. Got: {gamma!r}")


def round_graphs(bundle: Bundle, batch: int, kind: RoundKind, *, steps: bool) -> list[GraphRecord]:
    """Returns the graphs that rounds of `kind` call: their own, or with `steps` single steps.

    Raises:
      BundleError: the bundle lacks one of them.
    """
    if not steps:
        return [bundle.find(kind.role, batch=batch, gamma=kind.gamma)]
    wanted: list[tuple[str, int | None]] = []
    if kind.gamma or kind.role == "drafter":
        wanted.append(("drafter_step", 1))
    if kind.role != "drafter":
        wanted.append(("primary_block", kind.gamma + 1))
    if kind.role == "round_router":
        wanted.append(("router", None))
    return [bundle.find(role, batch=batch, width=width) for role, width in wanted]


def _anchors(bundle: Bundle) -> dict[int, GraphRecord]:
    """Returns, for each batch, the graph that it always has and that takes the primary's cache."""
    graphs = bundle.manifest.graphs
    blocks = [g for g in graphs if g.role == "primary_block" and g.width == 1]
    anchors = blocks if _in_rows(bundle) else [g for g in graphs if g.role == "insert"]
    return {graph.batch: graph for graph in anchors}


def _in_rows(bundle: Bundle) -> bool:
    return all("onnx" in graph.files for graph in bundle.manifest.graphs)


def _gammas(bundle: Bundle, batch: int) -> dict[RoundRole, tuple[int, ...]]:
    graphs = [graph for graph in bundle.manifest.graphs if graph.batch == batch]
    if not _in_rows(bundle):
        rounds = {role: {g.gamma for g in graphs if g.role == role} for role in _ROLES}
        return {role: tuple(sorted(g for g in rounds[role] if g is not None)) for role in _ROLES}
    widths = sorted(g.width for g in graphs if g.role == "primary_block" and g.width)
    roles = {graph.role for graph in graphs}
    drafts = tuple(width - 1 for width in widths if width > 1 and "drafter_step" in roles)
    return {"round": (0, *drafts), "round_router": drafts if "router" in roles else ()}


def _common(gammas: Sequence[dict[RoundRole, tuple[int, ...]]]) -> dict[RoundRole, tuple[int, ...]]:
    """Returns the gammas that every batch bucket has."""
    return {
        role: tuple(g for g in gammas[0][role] if all(g in other[role] for other in gammas))
        for role in _ROLES
    }


def _default_gamma(buckets: tuple[int, ...]) -> int:
    usual = [bucket for bucket in buckets if 0 < bucket <= _USUAL_GAMMA]
    return max(usual, default=max(buckets, default=_USUAL_GAMMA))
