"""Parameters as flat dicts `name -> array`, and modules made of them.

A flat dict with dotted names is the form that checkpoints store, graphs take as their first
argument and optimisers update; jax orders dict keys, so arguments come in sorted name order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, overload

import jax
from flax import nnx

from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.model.decoder import Decoder
from tandem_export.model.drafter import Drafter
from tandem_export.model.quantized import joined
from tandem_export.model.router import Router

# What flax names a variable by.
Path = tuple[Any, ...]
Params = dict[str, Any]
PARTS = ("primary", "drafter", "router")


def _make(config: TandemConfig, part: str) -> Callable[[nnx.Rngs], nnx.Module]:
    if part == "primary":
        return lambda rngs: Decoder(config.primary, rngs=rngs)
    if part == "drafter":
        return lambda rngs: Drafter(config, rngs=rngs)
    return lambda rngs: Router(config, rngs=rngs)


def _name(path: Path) -> str:
    return ".".join(str(piece) for piece in path)


@cache
def _abstract(config: TandemConfig, part: str) -> tuple[Any, dict[str, tuple[Path, Any]]]:
    module = nnx.eval_shape(lambda: _make(config, part)(nnx.Rngs(0)))
    graph, state = nnx.split(module)
    return graph, {_name(path): (path, leaf) for path, leaf in nnx.to_flat_state(state)}


def has_part(config: TandemConfig, part: str) -> bool:
    """Returns whether the pair has this part (a router is optional)."""
    return part != "router" or config.router is not None


def shapes(config: TandemConfig, part: str) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of a part's tensors."""
    return {name: leaf.shape for name, leaf in abstract(config, part).items()}


def abstract(config: TandemConfig, part: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns names, shapes and dtypes of a part's tensors: float32, or int32 for ids."""
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for name, (_, leaf) in sorted(_abstract(config, part)[1].items())
    }


def initialise(config: TandemConfig, part: str, seed: int) -> Params:
    """Returns random float32 parameters of one part."""
    state = nnx.state(_make(config, part)(nnx.Rngs(seed)))
    return {_name(path): leaf[...] for path, leaf in nnx.to_flat_state(state)}


@overload
def bind(
    config: TandemConfig, part: Literal["primary"], params: Mapping[str, jax.Array]
) -> Decoder: ...
@overload
def bind(
    config: TandemConfig, part: Literal["drafter"], params: Mapping[str, jax.Array]
) -> Drafter: ...
@overload
def bind(
    config: TandemConfig, part: Literal["router"], params: Mapping[str, jax.Array]
) -> Router: ...
@overload
def bind(
    config: TandemConfig, part: str, params: Mapping[str, jax.Array]
) -> Decoder | Drafter | Router: ...
def bind(
    config: TandemConfig, part: str, params: Mapping[str, jax.Array]
) -> Decoder | Drafter | Router:
    """Returns the module `part` over `params` (a `Decoder`, `Drafter` or `Router`); int8 ones too.

    Raises:
      CheckpointError: the names of `params` are not those of the part.
    """
    graph, leaves = _abstract(config, part)
    tensors = joined(params)
    missing, unknown = sorted(set(leaves) - set(tensors)), sorted(set(tensors) - set(leaves))
    if missing or unknown:
        rule = f"the {len(leaves)} tensors that `shapes(config, {part!r})` lists"
        raise CheckpointError(
            f"`params` must hold {rule}; missing: {missing}, unknown: {unknown}. "
            f"Got: {len(tensors)}"
        )
    flat = [(path, leaf.replace(tensors[name])) for name, (path, leaf) in leaves.items()]
    return nnx.merge(graph, nnx.from_flat_state(flat))
