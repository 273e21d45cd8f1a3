"""A seeded, resumable optimisation loop that logs its losses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recipes.stdlib_mini.corpus import Corpus
from tandem_export.model import Params
from tandem_export.progress import Progress

# (trained parameters, tokens [B, T + 1], block length) -> loss
Loss = Callable[[Params, jax.Array, jax.Array], jax.Array]
TOKENS_A_STEP = 2048
MAX_BLOCK = 8


@dataclass(frozen=True)
class Stage:
    """One optimisation run.

    Attributes:
      long_share: the last part of the steps, which sees sequences of 256 instead of 128 tokens.
    """

    name: str
    steps: int
    learning_rate: float
    seed: int = 0
    long_share: float = 0.2

    def length(self, step: int) -> int:
        """Sequence length at `step`."""
        return 128 if step < self.steps * (1 - self.long_share) else 256

    def optimizer(self) -> optax.GradientTransformation:
        """AdamW with clipping, warm-up and a cosine to a twentieth of the peak."""
        rate = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, min(100, self.steps // 5), self.steps, self.learning_rate / 20
        )
        decay = optax.adamw(rate, b2=0.95, weight_decay=0.05, mask=_is_matrix)
        return optax.chain(optax.clip_by_global_norm(1.0), decay)


def _is_matrix(params: Params) -> dict[str, bool]:
    return {name: value.ndim == 2 for name, value in params.items()}


def draw(corpus: Corpus, stage: Stage, step: int) -> tuple[np.ndarray, int]:
    """The batch and block length of a step.

    A function of seed and step, so a resumed run is the same run. Block lengths are uniform over
    1..8: trained at 2 alone, the gain is gone at 8.
    """
    rng = np.random.default_rng((stage.seed, step))
    length = stage.length(step)
    return corpus.batch(rng, TOKENS_A_STEP // length, length), int(rng.integers(1, MAX_BLOCK + 1))


def placements() -> tuple[NamedSharding, NamedSharding]:
    """Data parallel over all devices: the batch is cut along its first axis, the rest replicated.

    With one device it is the same program. The batch must be a multiple of the devices.
    """
    mesh = Mesh(np.array(jax.devices()), ("data",))
    return NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())


def optimise(
    stage: Stage, corpus: Corpus, start: Params, loss: Loss, folder: Path, progress: Progress
) -> Params:
    """Runs `stage` to its end from `start`, or from where an earlier run of it stopped."""
    optimizer = stage.optimizer()

    def update(params, state, tokens, gamma):
        value, gradient = jax.value_and_grad(loss)(params, tokens, gamma)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    cut, replicated = placements()
    step_fn = jax.jit(update, donate_argnums=(0, 1), out_shardings=replicated)
    params = {name: jnp.array(value) for name, value in start.items()}
    params, state = jax.device_put((params, optimizer.init(params)), replicated)
    first = 0
    options = ocp.CheckpointManagerOptions(max_to_keep=1)
    log = folder / f"{stage.name}.jsonl"
    with ocp.CheckpointManager((folder / stage.name).resolve(), options=options) as manager:
        if (last := manager.latest_step()) is not None:
            params, state = manager.restore(last, args=ocp.args.StandardRestore((params, state)))
            first = last
        began, window = time.time(), []
        for step in range(first, stage.steps):
            tokens, gamma = draw(corpus, stage, step)
            tokens = jax.device_put(tokens, cut)
            params, state, value = step_fn(params, state, tokens, jnp.int32(gamma))
            window.append(value)
            progress(step + 1, stage.steps, stage.name)
            if (step + 1) % 50 == 0 or step + 1 == stage.steps:
                _log(log, stage, step + 1, float(np.mean([float(v) for v in window])), began)
                window = []
            if (step + 1) % 200 == 0 or step + 1 == stage.steps:
                manager.save(step + 1, args=ocp.args.StandardSave((params, state)))
        manager.wait_until_finished()
    return params


def _log(path: Path, stage: Stage, step: int, loss: float, began: float) -> None:
    row = {"stage": stage.name, "step": step, "loss": round(loss, 4)}
    with path.open("a") as file:
        file.write(json.dumps(row | {"seconds": round(time.time() - began, 1)}) + "\n")
