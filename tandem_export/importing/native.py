"""Reads what is in this project's own naming: checkpoints, Orbax trees, tandem parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tandem_export.checkpoint import Checkpoint, map_tensors, naming, read_checkpoint, read_orbax
from tandem_export.config import RouterConfig, TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.importing.source import Source
from tandem_export.jsontypes import JsonObject
from tandem_export.tokenizer import Text

# What a drafter has beside a decoder.
_TANDEM = ("projection.", "vocabulary.")


def read_own(path: str, part: str) -> Source:
    """Returns the primary or the drafter of a checkpoint, without its projections.

    Raises:
      CheckpointError: the checkpoint is damaged, or its drafter has a reduced vocabulary.
    """
    checkpoint = read_checkpoint(path)
    if part == "drafter" and checkpoint.config.is_reduced:
        raise CheckpointError(
            f"{path}: a drafter of reduced vocabulary cannot be joined to another"
        )
    tensors = {
        name: lazy(array)
        for name, array in checkpoint.params[part].items()
        if not name.startswith(_TANDEM)
    }
    return Source(
        config=checkpoint.config.primary if part == "primary" else checkpoint.config.drafter,
        tensors=tensors,
        text=_text(checkpoint),
        facts={"format": "tandem-checkpoint", "part": part, "sha256": dict(checkpoint.source)},
    )


def _text(checkpoint: Checkpoint) -> Text:
    return Text(
        tokenizer_json=checkpoint.tokenizer_json,
        end_tokens=checkpoint.vocabulary.end_tokens,
        chat_template=checkpoint.chat_template,
    )


def read_orbax_pair(folder: Path, config: TandemConfig) -> dict[str, dict[str, np.ndarray]]:
    """Returns a whole pair: the Orbax tree `{part: {tensor name: array}}`.

    Args:
      folder: the Orbax StandardCheckpoint.
      config: of the pair.

    Raises:
      CheckpointError: not such a tree, or not the tensors that the configuration asks for.
    """
    with naming(folder.name):
        return read_orbax(folder, config)


def is_orbax(folder: Path) -> bool:
    """Returns whether a folder looks like an Orbax checkpoint."""
    return (folder / "_METADATA").is_file() or (folder / "_CHECKPOINT_METADATA").is_file()


class TandemPart:
    """Projections, router and vocabulary of a drafter, from one safetensors file.

    Attributes:
      drafter: `projection.{j}.weight` `[D_primary, D]`, `vocabulary.rows` `[V_primary]` int32.
      router: its tensors without their `router.`; empty without a router.
    """

    def __init__(self, path: Path) -> None:
        """Maps the file.

        Raises:
          CheckpointError: not safetensors, or with a tensor that is none of these.
        """
        with naming(path.name):
            arrays = {name: lazy(array) for name, array in map_tensors(path).items()}
            self.drafter = {n: t for n, t in arrays.items() if n.startswith(_TANDEM)}
            self.router = _without(arrays, "router.")
            left = sorted(set(arrays) - set(self.drafter) - {f"router.{n}" for n in self.router})
            if left:
                rule = "`projection.{j}.weight`, `vocabulary.rows` and `router.*`"
                raise CheckpointError(f"a tandem part holds {rule} only. Got: {left[0]!r}")
        self.facts: JsonObject = {"format": "safetensors", "file": path.name}

    def router_config(self, width: int, tau: float) -> RouterConfig | None:
        """Returns the router's sizes, from its tensors: E = 1 + k + k * D inputs for a top k.

        Raises:
          CheckpointError: `router.hidden.weight` is missing or of no such size.
        """
        if not self.router:
            return None
        shape = self.router["hidden.weight"].shape if "hidden.weight" in self.router else (0, 0)
        top_k, rest = divmod(shape[0] - 1, 1 + width)
        if rest or top_k < 1:
            raise CheckpointError(
                "`router.hidden.weight` must have 1 + k + k * D rows for some k, D being the "
                f"drafter's width {width}. Got: shape {list(shape)}"
            )
        return RouterConfig(top_k=top_k, hidden_size=shape[1], tau=tau)


def _without(arrays: dict[str, LazyTensor], prefix: str) -> dict[str, LazyTensor]:
    return {n.removeprefix(prefix): t for n, t in arrays.items() if n.startswith(prefix)}
