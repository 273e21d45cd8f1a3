"""A bundle under test: both drivers over one executor, and the same with a useless drafter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tandem_export.bundle import Bundle
from tandem_export.parity.recording import Recorder
from tandem_export.parity.trace import Trace
from tandem_export.runtime import Engine, Limits, Result, SamplingParams
from tandem_export.runtime.executors import ExecutorSpec, make_executor

Prompts = Sequence[tuple[int, ...]]
DRIVERS = {"steps": "single steps", "fused": "fused rounds"}


class Subject:
    """One batch bucket of a bundle."""

    def __init__(
        self,
        bundle: Bundle,
        limits: Limits,
        *,
        name: str,
        executor: ExecutorSpec | str = "jax",
        compilation_cache: str | Path | None = None,
        threads: int | None = None,
    ) -> None:
        """Places the bundle's weights; compiles nothing yet. `name` is for reports."""
        self.name, self.limits = name, limits
        runner = make_executor(
            executor,
            bundle,
            batch=limits.batch,
            compilation_cache=compilation_cache,
            threads=threads,
        )
        self._recorder = Recorder(runner)
        independent = bundle.manifest.model.kind == "independent"
        self._engines = {
            driver: Engine(self._recorder, limits, driver=driver, independent=independent)
            for driver in DRIVERS
        }

    @property
    def drivers(self) -> tuple[str, ...]:
        """What can be compared: `steps`, and `fused` where the executor runs whole rounds."""
        return tuple(DRIVERS) if self._engines["fused"].fused else ("steps",)

    def generate(
        self, driver: str, prompts: Prompts, params: Sequence[SamplingParams]
    ) -> list[Result]:
        """Answers in the order of prompts, then samples."""
        results = self._engines[driver].generate(prompts, params)
        self._recorder.take()
        return results

    def run(self, driver: str, prompts: Prompts, params: Sequence[SamplingParams]) -> list[Trace]:
        """Returns a trace for each prompt, with logits from single steps, else log-probabilities.

        `params` ask for `logprobs`, one sample each, all of one mode and gamma.
        """
        results = self._engines[driver].generate(prompts, params)
        logits = self._recorder.take()
        if driver == "steps":
            pairs = zip(results, logits, strict=True)
            return [Trace(tokens=r.tokens, values=rows[: len(r.tokens)]) for r, rows in pairs]
        return [
            Trace(tokens=r.tokens, values=np.array(r.logprobs or (), np.float32)) for r in results
        ]


def with_random_drafter(bundle: Bundle, seed: int = 0) -> Bundle:
    """Returns `bundle` with noise as its drafter's tensors, of each one's own spread."""
    rng = np.random.default_rng(seed)
    drafter = {name: t for name, t in bundle.weights().items() if name.startswith("drafter.")}
    noise = {name: _noise(rng, tensor) for name, tensor in drafter.items()}
    return dataclasses.replace(bundle, replaced=noise)


def _noise(rng: np.random.Generator, tensor: np.ndarray) -> np.ndarray:
    if tensor.dtype.kind not in "fV":  # ids; numpy calls bfloat16 V
        return tensor
    spread = float(np.std(tensor.astype(np.float32)))
    return rng.normal(0, spread or 1, tensor.shape).astype(tensor.dtype)
