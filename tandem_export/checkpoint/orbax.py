"""An Orbax StandardCheckpoint that holds the tree `{part: {tensor name: array}}`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.checkpoint.tensors import check_params, specs
from tandem_export.config import TandemConfig
from tandem_export.errors import CheckpointError
from tandem_export.storage import HasShape

ORBAX_NAME = "orbax"


def write_orbax(path: Path, params: Mapping[str, Mapping[str, HasShape]]) -> None:
    """Writes the tree as an Orbax StandardCheckpoint; `path` must not exist yet."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        tree = {
            part: {name: np.asarray(leaf) for name, leaf in leaves.items()}
            for part, leaves in params.items()
        }
        checkpointer.save(path.absolute(), tree)
    # On some file systems Orbax marks the commit with a file that names the writer's own path.
    marker = path / "commit_success.txt"
    if marker.exists():
        marker.write_text("Checkpoint commit was successful")


def read_orbax(path: Path, config: TandemConfig) -> dict[str, dict[str, np.ndarray]]:
    """Reads the tree as numpy arrays; names, shapes and dtypes are checked before the values.

    Raises:
      CheckpointError: not an Orbax checkpoint, or not the tensors that `config` asks for.
    """
    import jax
    import orbax.checkpoint as ocp

    # Arrays are asked for as numpy: the sharding that they were saved with may not exist here.
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = _tree(checkpointer.metadata(path.absolute()))
        check_params(config, {part: specs(leaves) for part, leaves in tree.items()})
        args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        request = ocp.args.PyTreeRestore(restore_args=args)
        return checkpointer.restore(path.absolute(), args=request)


def _tree(metadata: Any) -> dict[str, dict[str, Any]]:
    tree = getattr(metadata.item_metadata, "tree", None)
    nested = isinstance(tree, dict) and all(isinstance(part, dict) for part in tree.values())
    if tree is None or not nested:
        got = "no tree" if tree is None else f"the keys {sorted(tree)}"
        raise CheckpointError(
            "not an Orbax StandardCheckpoint of a tree `{part: {tensor name: array}}`. "
            f"Got: {got}"
        )
    return tree
