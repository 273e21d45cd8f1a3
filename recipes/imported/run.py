"""From a frozen primary and texts to a pair: features, drafter, router, measures, baseline."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from recipes.imported import drafter as drafters
from recipes.imported.batches import Features
from recipes.imported.calibrate import calibrated, predictions
from recipes.imported.evaluate import BLOCK_LENGTHS, CALIBRATED, evaluate, router_calibration
from recipes.imported.features import compute
from recipes.imported.stages import train_drafter, train_router
from recipes.imported.text import Texts, kept_tokens, rows_of
from tandem_export.checkpoint import Checkpoint, write_checkpoint
from tandem_export.cli.output import progress
from tandem_export.config import TandemConfig
from tandem_export.model import Params
from tandem_export.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, and how long.

    Attributes:
      recipe: named in the checkpoint.
      tokens: that the drafter keeps, at most.
      layers, width, ff: of the drafter.
      steps: of all stages of the tandem drafter together.
      loss: of the main stage, a key of `LOSSES`.
      start: what the drafter's layers begin as.
      baseline: also train the same drafter without a view of the primary, as long.
    """

    recipe: str
    tokens: int
    layers: int
    width: int
    ff: int
    steps: int
    loss: str
    start: drafters.Start
    baseline: bool


def train_pair(
    source: Checkpoint, texts: Texts, plan: Plan, out: Path, *, name: str = "pair"
) -> dict[str, Any]:
    """Writes the checkpoint OUT/`name`, its measures beside it, and returns them.

    Args:
      source: its primary is kept; whatever drafter it has is not read.
      texts: a longer list later goes on with the features that are there.
      plan: another plan needs another `name`, or it resumes what it does not fit.
      out: features are shared by all runs in it.
      name: of this run.
    """
    vocabulary = source.config.primary.vocab_size
    kept = _kept(texts, plan.tokens, vocabulary, out)
    config = drafters.pair(
        source.config.primary, len(kept), plan.layers, plan.width, plan.ff, plan.start
    )
    rows, small = rows_of(kept, vocabulary), drafters.as_trained(config)
    with progress(quiet=False) as report:
        levels = "-".join(f"x{level}" for level in sorted(set(config.layer_map)))
        paths = _features(config, source, texts, out / "features" / levels, report)
        train, held_out = (Features(paths[side], config.layer_map, rows) for side in paths)
        start = drafters.begin(
            small, source.params["primary"], kept, _samples(train, config), plan.start
        )
        folder = out / f"{name}-stages"
        made = train_drafter(small, start, train, plan.steps, plan.loss, folder, report)
        learned = train_router(small, made, train, plan.steps, folder, report)
        seen = predictions(small, made, learned, held_out.all(CALIBRATED), BLOCK_LENGTHS)
        router = calibrated(learned, *seen)
        measures = {
            "tandem": evaluate(small, made, held_out),
            "router": router_calibration(small, made, router, held_out),
            "router_as_learned": router_calibration(small, made, learned, held_out),
            "known_share": _known_share(texts, rows),
            "train_tokens": int(sum(span.length - span.first for span in train.spans)),
        }
        parts = {"drafter": drafters.with_rows(made, rows), "router": router}
        if plan.baseline:
            alone = drafters.independent(small)
            begun = {n: v for n, v in start.items() if not n.startswith("projection.")}
            folder = out / f"{name}-independent-stages"
            other = train_drafter(alone, begun, train, plan.steps, plan.loss, folder, report)
            measures["independent"] = evaluate(alone, other, held_out)
            own = {"drafter": drafters.with_rows(other, rows)}
            config_alone = drafters.independent(config)
            _publish(source, config_alone, own, plan, measures, out / f"{name}-independent")
    _publish(source, config, parts, plan, measures, out / name)
    (out / f"{name}.json").write_text(json.dumps(asdict(plan) | {"measures": measures}, indent=1))
    return measures


def _kept(texts: Texts, size: int, vocabulary: int, out: Path) -> np.ndarray:
    """Chosen once: more texts must not change what the rows of a half-trained drafter mean."""
    path = out / f"tokens-{size}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept_tokens(texts.train, size, vocabulary).tolist()))
    return np.array(json.loads(path.read_text()))


def _features(
    config: TandemConfig, source: Checkpoint, texts: Texts, folder: Path, report: Progress
) -> dict[str, list[Path]]:
    params = {
        name: jnp.asarray(value, jnp.float32) for name, value in source.params["primary"].items()
    }
    paths = {}
    for side, own in (("train", texts.train), ("held_out", texts.held_out)):
        paths[side] = compute(config, params, own, folder / side, report)
    return paths


def _samples(features: Features, config: TandemConfig) -> list[np.ndarray]:
    """Some of what each projection reads."""
    batch = features.batch(np.random.default_rng(5), 64, 64)
    counted = batch["counted"] > 0
    return [batch[f"x{level}"][counted] for level in config.layer_map]


def _known_share(texts: Texts, rows: np.ndarray) -> float:
    guessed = np.concatenate([text.tokens[text.first :] for text in texts.held_out])
    return float((rows[guessed] >= 0).mean())


def _publish(
    source: Checkpoint,
    config: TandemConfig,
    parts: dict[str, Params],
    plan: Plan,
    measures: dict[str, Any],
    path: Path,
) -> None:
    arrays = {p: {n: np.asarray(v) for n, v in own.items()} for p, own in parts.items()}
    write_checkpoint(
        path,
        config=config,
        vocabulary=source.vocabulary,
        tokenizer_json=source.tokenizer_json,
        chat_template=source.chat_template,
        params={"primary": source.params["primary"], **arrays},
        provenance=source.provenance | {"recipe": plan.recipe, "measures": measures},
        overwrite=True,
    )
