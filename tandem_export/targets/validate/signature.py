"""Checks of one exported graph against the graph it came from: names, shapes, dtypes, donation.

They look at what was read back from the serialized bytes, not at what was about to be written.
"""

from __future__ import annotations

import re
from typing import Any

import jax
from jax import export

from tandem_export.graphs import Graph, Shapes
from tandem_export.targets.errors import DonationError, NameMismatchError, UnusedParameterError
from tandem_export.targets.validate.arrays import check_arrays, described

# How the module marks an argument whose buffer a result may take over: any result, or this one.
_DONATED = re.compile(r"tf\.aliasing_output = (\d+)|jax\.buffer_donor")


def arguments(exported: export.Exported) -> tuple[Any, Any, Any]:
    """Returns `(params, state, inputs)` of an exported graph, arrays as shape and dtype."""
    positional, _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    return positional


def results(exported: export.Exported) -> Any:
    """Returns `(outputs, state)` of an exported graph, arrays as shape and dtype."""
    return jax.tree.unflatten(exported.out_tree, exported.out_avals)


def check_signature(exported: export.Exported, graph: Graph) -> None:
    """Checks names, shapes and dtypes of all arguments, and of the state that comes back.

    Raises:
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: the first difference found.
    """
    got_arguments, got_results = arguments(exported), results(exported)
    for part, got in zip(("params", "state", "inputs"), got_arguments, strict=True):
        _compare(graph.name, part, got, getattr(graph, part))
    if not (isinstance(got_results, tuple) and len(got_results) == 2):
        rule = "a graph must return `(outputs, state)`"
        raise NameMismatchError(f"{graph.name}: {rule}. Got: {got_results}")
    outputs, state = got_results
    _compare(graph.name, "outputs", outputs, graph.outputs)
    _compare(graph.name, "returned state", state, graph.state)


def _is_flat(values: Any) -> bool:
    return isinstance(values, dict) and all(hasattr(leaf, "dtype") for leaf in values.values())


def _compare(graph: str, part: str, got: Any, want: Shapes) -> None:
    if not _is_flat(got):
        raise NameMismatchError(f"{graph}: {part} must be a flat dict. Got: {got}")
    check_arrays(graph, part, described(got), want)


def unused_arguments(exported: export.Exported, graph: Graph) -> list[tuple[str, str]]:
    """Returns (part, name) of the arguments that the module dropped: nothing depends on them."""
    names = [
        (part, name)
        for part in ("params", "state", "inputs")
        for name in sorted(getattr(graph, part))
    ]
    used = set(exported.module_kept_var_idx)
    return [name for index, name in enumerate(names) if index not in used]


def check_params_used(exported: export.Exported, graph: Graph) -> None:
    """Checks that a graph takes only the parameters that its results depend on.

    Raises:
      UnusedParameterError: the text lists the others.
    """
    unused = [name for part, name in unused_arguments(exported, graph) if part == "params"]
    if unused:
        raise UnusedParameterError(
            f"{graph.name}: `params` must list only what the results depend on. "
            f"Got: {unused}. Leave them out of the graph's `params`."
        )


def check_donation(exported: export.Exported, graph: Graph) -> None:
    """Checks that every state array is donated in the module itself, to its own value.

    Raises:
      DonationError: the text lists the state that would be copied, or overwritten too early.
    """
    arguments = _main_arguments(exported.mlir_module())
    # The platform index, if there is one, comes before params and state.
    first = len(arguments) - len(graph.inputs) - len(graph.state)
    marked = arguments[first : first + len(graph.state)]
    found = {n: _DONATED.search(text) for n, text in zip(sorted(graph.state), marked, strict=True)}
    lost = [name for name, mark in found.items() if mark is None]
    if lost:
        rule = "every state array must be donated, or each step copies it"
        raise DonationError(f"{graph.name}: {rule}. Got: not donated: {lost}")
    after = enumerate(found.items(), len(exported.out_avals) - len(graph.state))
    wrong = {n: int(mark[1]) for i, (n, mark) in after if mark and mark[1] not in (None, str(i))}
    if wrong:
        rule = "the value of a state array after the call must take the array's place"
        raise DonationError(f"{graph.name}: {rule}. Got: results {wrong} there instead.")


def _main_arguments(module: str) -> list[str]:
    """Returns the text of each argument of @main, attributes included."""
    start = module.index("@main(")
    signature = module[start : module.index(") -> ", start)]
    return re.split(r"%arg\d+: ", signature)[1:]
