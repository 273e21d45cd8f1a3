"""A bundle under test: both drivers over one executor, and the same with a useless drafter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from tandem_export.bundle import Bundle
from tandem_export.parity.recording import Recorder
from tandem_export.parity.trace import Trace
from tandem_export.runtime import Engine, Executor, Limits, Result, SamplingParams
from tandem_export.runtime.executors import make_executor

Prompts = Sequence[tuple[int, ...]]


class Subject:
    """One batch bucket of a bundle."""

    def __init__(
        self,
        bundle: Bundle,
        limits: Limits,
        *,
        name: str,
        executor: str = "jax",
        compilation_cache: str | Path | None = None,
    ) -> None:
        """Places the bundle's weights; compiles nothing yet. `name` is for reports."""
        self.name, self.limits = name, limits
        runner = make_executor(
            executor, bundle, batch=limits.batch, compilation_cache=compilation_cache
        )
        self._recorder = Recorder(runner)
        independent = bundle.manifest.model.kind == "independent"
        self._engines = {
            driver: Engine(
                cast(Executor, self._recorder), limits, driver=driver, independent=independent
            )
            for driver in ("fused", "steps")
        }

    def generate(
        self, driver: str, prompts: Prompts, params: Sequence[SamplingParams]
    ) -> list[Result]:
        """Answers in the order of prompts, then samples."""
        results = self._engines[driver].generate(prompts, params)
        self._recorder.take()
        return results

    def run(self, driver: str, prompts: Prompts, params: Sequence[SamplingParams]) -> list[Trace]:
        """One trace a prompt: with logits where single steps made it, else with log-probabilities.

        `params` ask for `logprobs`, one sample each, all of one mode and gamma.
        """
        results = self._engines[driver].generate(prompts, params)
        logits = self._recorder.take()
        if driver == "steps":
            pairs = zip(results, logits, strict=True)
            return [Trace(tokens=r.tokens, values=own[: len(r.tokens)]) for r, own in pairs]
        return [
            Trace(tokens=r.tokens, values=np.array(r.logprobs or (), np.float32)) for r in results
        ]


def with_random_drafter(bundle: Bundle, seed: int = 0) -> Bundle:
    """`bundle` with noise for a drafter, of each tensor's own spread: the same graphs run it."""
    return _RandomDrafter(path=bundle.path, manifest=bundle.manifest, seed=seed)


@dataclass(frozen=True, kw_only=True)
class _RandomDrafter(Bundle):
    seed: int

    def weights(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        return {
            name: _noise(rng, tensor) if name.startswith("drafter.") else tensor
            for name, tensor in super().weights().items()
        }


def _noise(rng: np.random.Generator, tensor: np.ndarray) -> np.ndarray:
    spread = float(np.std(tensor.astype(np.float32)))
    return rng.normal(0, spread or 1, tensor.shape).astype(tensor.dtype)
