"""One decoder as a source gives it, and its tensors under this project's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tandem_export.checkpoint import listed
from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor
from tandem_export.jsontypes import JsonObject
from tandem_export.tokenizer import Text


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A decoder and what came with it.

    Attributes:
      tensors: by this project's names and shapes, each made when it is read.
      text: tokenizer, end tokens, chat template; None if the source has no tokenizer.
      facts: format, family and files, for the provenance.
    """

    config: DecoderConfig
    tensors: Mapping[str, LazyTensor]
    text: Text | None
    facts: JsonObject


def collect(
    config: DecoderConfig,
    table: Mapping[str, str],
    available: Mapping[str, LazyTensor],
    where: str,
    *,
    unused: Iterable[str] = (),
) -> dict[str, LazyTensor]:
    """Returns the tensors that `config` asks for, renamed by `table`, matrices transposed.

    Args:
      config: what the source's own configuration says.
      table: this project's name -> the source's, `{j}` for the layer.
      available: what the source has, matrices `[out, in]`.
      where: the source, for errors.
      unused: tensors of the source that are rightly left out.

    Raises:
      CheckpointError: a tensor is missing, of another shape, or left over; by the source's names.
    """
    from tandem_export.model import shapes  # Imports jax.

    if config.num_layers > len(available):  # Deeper models take long to list.
        raise CheckpointError(
            f"{where}: the configuration has {config.num_layers} layers, for which there must be "
            f"more tensors. Got: {len(available)} tensors"
        )
    alone = TandemConfig(primary=config, drafter=config, kind="independent")
    wanted = {name: _their_name(name, table) for name in shapes(alone, "primary")}
    left = set(available) - set(wanted.values()) - set(unused)
    if config.tied_embedding:
        left.discard(table["head.weight"])
    missing = set(wanted.values()) - set(available)
    if missing or left:
        raise CheckpointError(
            f"{where}: its tensors must be those that the configuration asks for in this family. "
            f"Missing: {listed(sorted(missing))}. Not known: {listed(sorted(left))}. "
            f"Got: {len(available)} tensors"
        )
    tensors = {ours: _oriented(available[theirs], ours) for ours, theirs in wanted.items()}
    for ours, shape in shapes(alone, "primary").items():
        if tensors[ours].shape != shape:
            want, got = _shown(shape, ours), _shown(tensors[ours].shape, ours)
            raise CheckpointError(
                f"{where}: tensor `{wanted[ours]}` must have shape {want} by the configuration. "
                f"Got: {got}"
            )
    return tensors


def _their_name(name: str, table: Mapping[str, str]) -> str:
    pieces = name.split(".")
    if pieces[0] != "layers":
        return table[name]
    return table[".".join(["layers", "{j}", *pieces[2:]])].replace("{j}", pieces[1])


def is_matrix(name: str) -> bool:
    """Returns whether a tensor is a linear map, which many frameworks have as `[out, in]`."""
    return name.endswith(".weight") and "norm" not in name and name != "embedding.weight"


def _oriented(tensor: LazyTensor, name: str) -> LazyTensor:
    return tensor.transposed() if is_matrix(name) else tensor


def _shown(shape: tuple[int, ...], name: str) -> list[int]:
    return list(shape[::-1] if is_matrix(name) else shape)
