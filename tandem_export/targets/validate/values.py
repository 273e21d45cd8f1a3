"""Runs an export of any target beside the function it came from, on the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from tandem_export.bundle import forget_pages
from tandem_export.graphs import Graph
from tandem_export.model import MASKED
from tandem_export.storage import return_free_memory
from tandem_export.targets.errors import ValueMismatchError
from tandem_export.targets.validate.arrays import Array, Arrays
from tandem_export.targets.validate.case import Case
from tandem_export.targets.validate.rounding import POISONED, allowances, check_distance

# (params, state, inputs) -> (outputs, state), by name. An export that keeps its state to itself, or
# leaves the writing to its caller, returns no state: then outputs alone are compared.
Run = Callable[[Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]
# Only the meaning of the modules is compared, and this halves the time to compile them.
_CPU_OPTIONS = {"xla_backend_optimization_level": 0}


def check_values(graph: Graph, run: Run, case: Case) -> float:
    """Returns the largest absolute difference between an export and its graph's function.

    Args:
      graph: what was exported.
      run: the export.
      case: what both are run on.

    Raises:
      ValueMismatchError: a result differs by more than `allowances`, is NaN, or comes from poisoned
        cache positions; the text names it.
    """
    arguments = (case.params, case.state, case.inputs)
    with compiled(graph.function) as function:

        def reference(*values: Array) -> dict[str, np.ndarray]:
            return _named(*function(*values))

        want = reference(*arguments)
        allowed = allowances(reference, arguments, want)
    forget_pages(next(iter(case.params.values()), None))  # an engine reads the file anew
    got = _named(*run(*arguments))
    names = [name for name in want if name in got or name.startswith("output")]
    for name in names if case.poisoned else ():
        _check_sound(f"{graph.name}: {name}", name, want[name], got[name])
    return max(
        (
            check_distance(f"{graph.name}: {name}", want[name], got[name], allowed[name])
            for name in names
        ),
        default=0.0,
    )


def _named(outputs: Arrays, state: Arrays) -> dict[str, np.ndarray]:
    """Joins both, under names such as `output 'logits'`."""
    named = {f"output {name!r}": np.asarray(value) for name, value in outputs.items()}
    return named | {f"state {name!r}": np.asarray(value) for name, value in state.items()}


def _check_sound(where: str, name: str, *values: np.ndarray) -> None:
    """Checks for NaN; state may still hold poison where nothing was written, an output may not."""
    # MASKED is the logit of a token that a drafter of reduced vocabulary lacks.
    sound = [(np.abs(value.astype(np.float64)) < POISONED) | (value == MASKED) for value in values]
    if name.startswith("output") and not all(each.all() for each in sound):
        rule = "must be finite, and small, on caches that are poisoned where no row may see"
        raise ValueMismatchError(f"{where} {rule}. Got: NaN, infinity or poison")


@contextmanager
def compiled(function: Any) -> Iterator[Any]:
    """Compiles a graph function; its memory is given back at the end of the block."""
    options = _CPU_OPTIONS if jax.default_backend() == "cpu" else None
    jitted: Any = jax.jit(function, compiler_options=options)
    try:
        yield jitted
    finally:  # or every graph of a build stays in memory
        jitted.clear_cache()
        return_free_memory()
