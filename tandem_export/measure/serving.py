"""What serving costs: TensorFlow against JAX on one `generate`, the wires on one round."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.bundle import Bundle, GraphRecord, open_bundle
from tandem_export.data import Prompt, encode_prompts
from tandem_export.errors import BundleError
from tandem_export.jsontypes import JsonObject
from tandem_export.measure.process import Startup, measure_first_call, measure_startup
from tandem_export.measure.turns import median_clocks
from tandem_export.serving import LocalModel, Model, connect, warmup_inputs
from tandem_export.serving.stand_in import StandIn


@dataclass(frozen=True, kw_only=True)
class ServingCosts:
    """Medians of one alternating run, seconds; the server is the stand-in.

    Attributes:
      generate_seconds: of one call of `graph`, by engine: `jax`, `tensorflow`.
      generate_ratio: TensorFlow over JAX.
      round_seconds: of one round of an idle row, by wire: `none`, `grpc`, `rest`.
      load_seconds: of the SavedModel, without compiling.
      bytes: on disk: `model` (saved_model.pb), `variables`, `weights` (of the tensors in it).
      first_call_seconds: of `graph` in a new process, which compiles it: compilation cache `cold`,
        then `warm`.
      startup: to the first token, likewise.
    """

    graph: str
    generate_seconds: dict[str, float]
    generate_ratio: float
    round_seconds: dict[str, float]
    load_seconds: float
    bytes: dict[str, int]
    first_call_seconds: dict[str, float] | None
    startup: Startup | None

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return dataclasses.asdict(self)


def bench_serving(
    path: str | Path,
    prompts: Sequence[Prompt] | None = None,
    *,
    repetitions: int = 7,
    startup: bool = True,
    allow_expired: bool = False,
    verify_key: str | Path | None = None,
) -> ServingCosts:
    """Measures the bundle at `path`, which must hold StableHLO and SavedModel.

    Args:
      path: of the bundle.
      prompts: texts or token ids, of which the first is used; None is the packaged ones.
      repetitions: turns of each call.
      startup: also measure new processes.
      allow_expired: open the bundle although a part of it has passed its date.
      verify_key: as in `open_bundle`.

    Raises:
      BundleError: it lacks one of the forms, or `generate` or `round` graphs.
      RequestError: a prompt that the bundle cannot serve.
    """
    bundle = open_bundle(path, allow_expired=allow_expired, verify_key=verify_key)
    served, facts = bundle.in_form("savedmodel"), bundle.savedmodel
    folder = bundle.path / facts.folder
    import_module("tensorflow")  # takes seconds, which are not the model's
    begin = time.perf_counter()
    model = LocalModel(folder)
    load_seconds = time.perf_counter() - begin
    graph, (prompt,) = _generate(bundle), encode_prompts(bundle, prompts, count=1, room=16)
    inputs = _generate_inputs(graph, prompt)
    with ExitStack() as stack:
        stack.enter_context(closing(model))
        engines = {"jax": _jax_call(bundle, graph), "tensorflow": _call(model, graph.name)}
        generate = _seconds({n: partial(c, inputs) for n, c in engines.items()}, repetitions)
        server = stack.enter_context(closing(StandIn(folder, facts.model)))
        addresses = {"grpc": server.grpc_address, "rest": server.rest_address}
        wires: dict[str, Model] = {"none": model}
        for name, address in addresses.items():
            wires[name] = stack.enter_context(closing(connect(address, model=facts.model)))
        rounds = _rounds(served, wires, facts.slots, repetitions * 5)
    return ServingCosts(
        graph=graph.name,
        generate_seconds=generate,
        generate_ratio=generate["tensorflow"] / generate["jax"],
        round_seconds=rounds,
        load_seconds=load_seconds,
        bytes=_sizes(served, folder),
        first_call_seconds=measure_first_call(folder, graph.name) if startup else None,
        startup=measure_startup(path, prompt, executor="tensorflow") if startup else None,
    )


def _seconds(calls: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    return {name: clock.wall for name, clock in median_clocks(calls, repetitions).items()}


def _generate(bundle: Bundle) -> GraphRecord:
    graphs = [g for g in bundle.in_form("jax_export").manifest.graphs if g.role == "generate"]
    if not graphs:
        raise BundleError("to measure serving, `generate` must be built. Got: no such graph")
    return min(graphs, key=lambda graph: (graph.batch, graph.width or 0))


def _generate_inputs(graph: GraphRecord, prompt: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Returns the inputs of one greedy answer of full length."""
    inputs = warmup_inputs({spec.name: spec for spec in graph.inputs}, scratch=0)
    count = min(len(prompt), graph.width or 0)
    inputs["tokens"][:, :count] = prompt[:count]
    inputs["length"][:] = count
    new = next(spec.shape[1] for spec in graph.outputs if spec.name == "tokens")
    inputs["max_new_tokens"][:] = new
    inputs["max_draft"][:] = graph.gamma
    return inputs


def _jax_call(bundle: Bundle, graph: GraphRecord) -> Callable[[Any], Any]:
    import jax

    from tandem_export.runtime.executors.jax import read_export

    exported, _ = read_export(bundle, graph)
    weights = bundle.weights()
    params = {spec.name: jax.device_put(weights[spec.name]) for spec in graph.params}
    run = jax.jit(exported.call)
    return lambda inputs: jax.device_get(run(params, {}, inputs)[0])


def _call(model: Model, name: str) -> Callable[[Any], Any]:
    return lambda inputs: model.call(name, inputs)


def _rounds(
    bundle: Bundle, wires: Mapping[str, Model], scratch: int, repetitions: int
) -> dict[str, float]:
    """Measures rounds of the scratch slot, which is idle: they run the primary, draft nothing."""
    rounds = [graph for graph in bundle.manifest.graphs if graph.role == "round" and graph.gamma]
    if not rounds:
        raise BundleError("to measure serving, `round` must be built. Got: no such graph")
    name = min(rounds, key=lambda graph: (graph.batch, graph.gamma or 0)).name
    inputs = warmup_inputs(wires["none"].signatures[name].inputs, scratch)
    calls = {wire: partial(model.call, name, inputs) for wire, model in wires.items()}
    return _seconds(calls, repetitions)


def _sizes(bundle: Bundle, folder: Path) -> dict[str, int]:
    used = {spec.name for graph in bundle.manifest.graphs for spec in graph.params}
    weights = bundle.weights()
    variables = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    return {
        "model": (folder / "saved_model.pb").stat().st_size,
        "variables": variables,
        "weights": sum(weights[name].nbytes for name in used),
    }
