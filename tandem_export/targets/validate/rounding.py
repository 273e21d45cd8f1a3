"""How far two compilers of one function may be apart: the rule of every target's value check.

Every compiler adds in an order of its own, so results differ by rounding, and a deep model enlarges
that: by how much depends on the model. It is measured, not guessed: the traced function runs again
on arguments whose floats are moved by one unit in their last place, and a multiple of what that
changes is allowed. The multiple is small, so that anything but rounding shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import numpy as np

from tandem_export.targets.errors import ValueMismatchError
from tandem_export.targets.validate.arrays import Array, Arrays

# Times what one unit in the last place changes. On a model of 30 layers, ONNX Runtime is at most 4
# times that away from XLA, and 1.4 times in the middle.
FACTOR = 16
# Units in the last place of the largest value: allowed where moving changes less, such as in sums
# of few numbers.
FLOOR = 4
# Values this large are what fills cache positions that no row may see (`validate.case`): they are
# never moved, and no measure of what else an array holds.
POISONED = 1e29
_RUNS = 2
# Norms, scales of int8, biases, small matrices: a model has one before each of its large products,
# and they cost no memory worth counting.
_LARGEST = 1 << 16
_SEED = 20240214


def moved(arrays: Arrays, rng: np.random.Generator) -> dict[str, Array]:
    """Moves each float of the small arrays by one unit in its last place, up or down.

    NaN, infinities, poison, integers and large arrays stay as they are.
    """
    return {name: _move(value, rng) for name, value in arrays.items()}


def _move(value: Array, rng: np.random.Generator) -> Array:
    if value.size > _LARGEST or not _is_float(value.dtype):
        return value
    array = np.asarray(value)
    # Times 1 +- eps: a float's neighbour, or the one after it.
    sign = rng.choice(np.array([-1, 1], np.float32), array.shape)
    step = np.float32(1) + sign * np.float32(ml_dtypes.finfo(array.dtype).eps)
    wide = array.astype(np.float32)
    return np.where(np.abs(wide) < POISONED, wide * step, wide).astype(array.dtype)


def _is_float(dtype: Any) -> bool:
    return jax.numpy.issubdtype(dtype, np.floating)


def allowances(
    run: Callable[..., Arrays], arguments: tuple[Arrays, ...], want: Arrays
) -> dict[str, float]:
    """Returns the largest absolute difference that rounding explains, by result; 0 for integers.

    Args:
      run: the compiled function: results by name.
      arguments: what it is compared on.
      want: its results on them.
    """
    rng = np.random.default_rng(_SEED)
    largest = {name: _floor(value) for name, value in want.items()}
    for _ in range(_RUNS):
        again = run(*(moved(part, rng) for part in arguments))
        # Where another token was chosen, what follows it says nothing of rounding.
        if all(np.array_equal(want[n], again[n]) for n in want if not _is_float(want[n].dtype)):
            for name, value in want.items():
                largest[name] = max(largest[name], FACTOR * distance(value, again[name]))
    return largest


def _floor(value: np.ndarray) -> float:
    if not _is_float(value.dtype):
        return 0.0
    wide = np.abs(value.astype(np.float64))
    size = float(np.max(wide, where=wide < POISONED, initial=0.0))
    return FLOOR * float(ml_dtypes.finfo(value.dtype).eps) * max(1.0, size)


def distance(want: np.ndarray, got: np.ndarray) -> float:
    """Returns largest absolute difference; infinities in the same place are equal."""
    one, other = want.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(one == other, 0.0, np.abs(one - other)), initial=0.0))


def check_distance(where: str, want: np.ndarray, got: np.ndarray, allowed: float) -> float:
    """Returns the distance of a result from what the traced function gives.

    Args:
      where: the graph and the result, for the error.
      want: of the traced function.
      got: of the exported graph.
      allowed: of `allowances`.

    Raises:
      ValueMismatchError: it is larger than `allowed`, or something is NaN.
    """
    if np.isnan(want.astype(np.float64)).any() or np.isnan(got.astype(np.float64)).any():
        raise ValueMismatchError(f"{where} must be free of NaN. Got: NaN")
    worst = distance(want, got)
    if worst > allowed:
        raise ValueMismatchError(
            f"{where} must be within {allowed:.3g} of the traced function, {FACTOR} times what "
            f"rounding changes there. Got: largest difference {worst:.3g}. The export computes "
            "something else than the model, whatever its weights. Build with the versions in "
            "requirements/; if that fails too, report this text with the checkpoint's tandem.json."
        )
    return worst
