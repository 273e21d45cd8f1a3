"""Runs an ONNX file and the function it came from on the same values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime

from tandem_export.bundle.weights import forget_pages
from tandem_export.graphs import Graph
from tandem_export.targets.errors import ValueMismatchError
from tandem_export.targets.validate.rounding import allowances, check_distance

# What no row may see: a key that is NaN, and a value so large that any weight on it would show. A
# value cannot be NaN: a masked one is multiplied by the weight 0.
_POISON = {"k": np.float32(np.nan), "v": np.float32(1e30)}
_SEED = 20240213


def check_values(path: Path, graph: Graph, weights: Mapping[str, np.ndarray]) -> float:
    """Largest absolute difference between the file, run by ONNX Runtime, and the traced function.

    Random caches, every row of the batch at another position, rows that must not be read poisoned.

    Raises:
      ValueMismatchError: an output differs by more than `allowances`, or is not finite.
    """
    values = _values(graph)
    arguments = tuple(
        {name: source[name] for name in part}
        for source, part in ((weights, graph.params), (values, graph.state), (values, graph.inputs))
    )
    compiled = jax.jit(graph.function)

    def run(*given: Any) -> dict[str, np.ndarray]:
        return jax.device_get(compiled(*given)[0])

    want = run(*arguments)
    allowed = allowances(run, arguments, want)
    forget_pages(next(iter(arguments[0].values()), None))  # the engine reads the file anew
    got = dict(zip(sorted(want), _run(path, values, sorted(want)), strict=True))
    wheres = {name: f"{graph.name}: output {name!r}" for name in want}
    for name, where in wheres.items():
        _check_finite(where, want[name], got[name])
    return max(check_distance(wheres[n], want[n], got[n], allowed[n]) for n in want)


def _run(path: Path, values: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Packed matrices would be a second copy of the weights, for a single run.
    options.add_session_config_entry("session.disable_prepacking", "1")
    # Else it rounds what is multiplied with int8 weights to int8, too.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    made: list = session.run(outputs, values)  # type: ignore[assignment]
    return made


def _values(graph: Graph) -> dict[str, np.ndarray]:
    """Inputs and caches; rows from `start` on are poisoned."""
    rng = np.random.default_rng(_SEED)
    room = _room(graph)
    made: dict[str, np.ndarray] = {}
    for name, leaf in sorted((graph.state | graph.inputs).items()):
        if name == "start":
            # 0, the last place that a block fits, and what lies between.
            made[name] = np.linspace(room, 0, leaf.shape[0]).astype(np.int32)
        elif np.issubdtype(leaf.dtype, np.integer):
            made[name] = rng.integers(0, 8, leaf.shape).astype(leaf.dtype)
        else:
            made[name] = rng.normal(size=leaf.shape).astype(leaf.dtype)
    for name in graph.state:
        unused = np.arange(made[name].shape[2])[None] >= made["start"][:, None]
        poison = _POISON[name.split("_")[1][0]]
        made[name] = np.where(unused[:, None, :, None], poison, made[name])
    return made


def _room(graph: Graph) -> int:
    lengths = [leaf.shape[2] for leaf in graph.state.values()]
    return min(lengths) - (graph.width or 0) if lengths else 0


def _check_finite(where: str, want: np.ndarray, got: np.ndarray) -> None:
    if not (np.isfinite(want).all() and np.isfinite(got).all()):
        raise ValueMismatchError(f"{where} must be finite on poisoned caches. Got: NaN or infinity")
