"""Each executor over one tiny pair, for the conformance suite; its models in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from tandem_export.bundle import Bundle
from tandem_export.parity.recording import Recorder
from tandem_export.runtime import Steps
from tandem_export.runtime.executors import make_executor
from tandem_export.runtime.executors.served.executor import SessionExecutor
from tandem_export.runtime.testing import Subject, ToyExecutor, toy_subject
from tandem_export.serving import Model
from tandem_export.serving.stand_in.server import StandIn
from tests import onnx_bundles
from tests.model import reference
from tests.pairs import CONFIGS, checkpoint
from tests.serving.bundles import every_role, model_folder

CONFIG = CONFIGS["tandem"]


@cache
def params(part: str) -> dict[str, np.ndarray]:
    pair = checkpoint("tandem").params[part]
    return {name: np.asarray(tensor, np.float64) for name, tensor in pair.items()}


@cache
def primary(tokens: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    return reference.decode(CONFIG.primary, params("primary"), np.array(tokens))


@cache
def drafter(tokens: tuple[int, ...], known: int) -> np.ndarray:
    """Positions that the primary has processed attend through its projected activations."""
    weights, config = params("drafter"), CONFIG.drafter
    _, activations = primary(tokens)
    x = weights["embedding.weight"][np.array(tokens)] * config.embedding_scale
    for layer, source in enumerate(CONFIG.layer_map):
        projected = activations[source] @ weights[f"projection.{layer}.weight"]
        mixed = np.concatenate([projected[:known], x[known:]])
        x = reference.layer_output(mixed, weights, layer, config)
    last = reference.rms_norm(x[-1], weights["final_norm.weight"], config)
    return last @ weights["embedding.weight"].T


def _pair(make: Callable[[], Steps], gamma: int) -> Subject:
    return Subject(
        make=make,
        primary=lambda tokens: primary(tuple(tokens))[0],
        drafter=lambda tokens, known: drafter(tuple(tokens), known),
        gamma=gamma,
    )


@cache
def _server() -> StandIn:
    """One for the process: its model's graphs are compiled once, for both executors over it."""
    return StandIn(model_folder(every_role()), "tandem")


class _Borrowed:
    """The stand-in's model, which it closes itself."""

    def __init__(self, model: Model) -> None:
        self.signatures, self.call = model.signatures, model.call

    def close(self) -> None:
        """Its owner does."""


def _in_process() -> Steps:
    served = every_role().in_form("savedmodel")
    return SessionExecutor(served, batch=2, model=_Borrowed(_server().model))


def _made(name: str, bundle: Bundle) -> Steps:
    return make_executor(name, bundle, batch=2, compilation_cache=None)


def _remote() -> Steps:
    return _made(f"tf-serving:{_server().grpc_address}", every_role())


def _over(name: str) -> Steps:
    return _made(name, onnx_bundles.shared_bundle("tandem", "stablehlo", "onnx"))


def _recorded(*pair: Any, **more: Any) -> Steps:
    """What `verify` runs: a recorder keeps the logits and changes nothing."""
    return Recorder(ToyExecutor(*pair, **more))


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "toy": toy_subject,
    "toy, independent": partial(toy_subject, independent=True),
    "toy, recorded": partial(toy_subject, _recorded),
    "jax": lambda: _pair(partial(_over, "jax"), 2),
    "onnxruntime": lambda: _pair(partial(_over, "onnxruntime"), 2),
    "onnxruntime:mapped": lambda: _pair(partial(_over, "onnxruntime:mapped"), 2),
    "openvino": lambda: _pair(partial(_over, "openvino"), 2),
    "openvino:mapped": lambda: _pair(partial(_over, "openvino:mapped"), 2),
    "tensorflow": lambda: _pair(_in_process, 3),
    "tf-serving": lambda: _pair(_remote, 3),
}
