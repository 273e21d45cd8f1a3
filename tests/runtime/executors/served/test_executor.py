"""The executors over a SavedModel: in process, and over the stand-in server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

import tandem_export
from tandem_export.errors import ConfigError, RequestError, ServingError
from tandem_export.parity import VerifyOptions, verify
from tandem_export.runtime import Engine, SamplingParams, limits_of
from tandem_export.runtime.executors.jax import read_export
from tandem_export.runtime.executors.served.executor import SessionExecutor
from tandem_export.runtime.executors.served.in_process import tensorflow_executor
from tandem_export.runtime.executors.served.remote import tf_serving_executor
from tandem_export.serving import Interrupted, LocalModel, connect
from tandem_export.serving.stand_in.server import StandIn
from tests.serving.bundles import every_role, local, model_folder
from tests.serving.calls import floats, generating, ints

PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13, 14, 15], [2, 9]]
SAMPLING = {
    "greedy": {},
    "leviathan": {"temperature": 0.9, "seed": 2**40 + 5, "top_k": 12, "top_p": 0.95, "min_p": 0.01},
    "gumbel": {"temperature": 0.7, "rule": "gumbel", "seed": 1},
}


def options(**more) -> SamplingParams:
    return SamplingParams(max_new_tokens=18, ignore_end_tokens=True, logprobs=True, **more)


def engine_over(model) -> Engine:
    bundle = every_role().in_form("savedmodel")
    executor = SessionExecutor(bundle, batch=2, model=model)
    return Engine(executor, limits_of(bundle, 2))


@pytest.fixture(scope="module")
def jax_engine() -> Engine:
    return tandem_export.load(every_role().path, modes=())


@pytest.fixture(scope="module")
def tf_engine() -> Engine:
    return engine_over(local("every"))


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    made = StandIn(model_folder(every_role()), "tandem")
    yield made
    made.close()


@pytest.mark.parametrize("sampling", SAMPLING.values(), ids=SAMPLING)
@pytest.mark.parametrize("mode", ["speed", "router", "primary"])
def test_answers_are_those_of_the_jax_executor(jax_engine, tf_engine, mode, sampling) -> None:
    params = options(mode=mode, gamma=3, **sampling)
    want, got = (engine.generate(PROMPTS, params) for engine in (jax_engine, tf_engine))
    for a, b in zip(want, got, strict=True):
        assert b.tokens == a.tokens
        np.testing.assert_allclose(b.logprobs, a.logprobs, atol=1e-5)
        assert b.stats.accepted_at == a.stats.accepted_at


@pytest.mark.parametrize(
    "sampling", [SAMPLING["greedy"], SAMPLING["gumbel"]], ids=["greedy", "gumbel"]
)
def test_text_is_the_primarys_own_at_the_same_width(tf_engine, sampling) -> None:
    """P0, inside TensorFlow: values too, bit for bit."""
    alone, speed = (
        tf_engine.generate(PROMPTS, options(mode=mode, gamma=3, **sampling))
        for mode in ("primary", "speed")
    )
    assert [r.tokens for r in speed] == [r.tokens for r in alone]
    assert [r.logprobs for r in speed] == [r.logprobs for r in alone]
    assert sum(r.stats.accepted for r in speed) > 0


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_generate_answers_as_the_graph_under_jax(sampling) -> None:
    graph = every_role().in_form("jax_export").find("generate", batch=2)
    exported, _ = read_export(every_role(), graph)
    hot = {"greedy": 0, "leviathan": 0, "gumbel": 1}[sampling]
    warm = floats(*[0 if sampling == "greedy" else 0.9] * 2)
    inputs = generating([*PROMPTS[:1], [1, 2, 3, 4]], 4, 8, temperature=warm, rule=ints(hot, hot))
    weights = every_role().weights()
    params = {spec.name: weights[spec.name] for spec in graph.params}
    want, _ = exported.call(params, {}, inputs)
    got = local("every").call(graph.name, inputs)
    np.testing.assert_allclose(got.pop("logprob"), want.pop("logprob"), atol=1e-5)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_the_loop_over_a_server_gives_the_same_answers(tf_engine, server, wire) -> None:
    address = server.grpc_address if wire == "grpc" else server.rest_address
    client = connect(address, model="tandem")
    remote = engine_over(client)
    params = options(num_samples=2, temperature=1.0)
    want, got = (engine.generate(PROMPTS, params) for engine in (tf_engine, remote))
    assert [r.tokens for r in got] == [r.tokens for r in want]


def test_a_round_is_one_call(tf_engine) -> None:
    class Counting:
        def __init__(self, model: LocalModel) -> None:
            self.signatures, self._model, self.calls = model.signatures, model, []

        def call(self, signature, inputs):
            self.calls.append(signature)
            return self._model.call(signature, inputs)

        def close(self) -> None:
            """The model is everybody's."""

    counting = Counting(local("every"))
    engine = engine_over(counting)
    engine.generate(PROMPTS[:2], options(gamma=3))
    assert counting.calls.count("round_b2_g3") == engine.stats.rounds
    others = {name for name in counting.calls if not name.startswith("round")}
    assert others == {"claim", "prefill_b1_t4", "insert"}


@pytest.mark.parametrize("sampling", SAMPLING.values(), ids=SAMPLING)
def test_a_restart_in_the_middle_loses_nothing(tf_engine, server, sampling) -> None:
    params = options(gamma=3, **sampling)
    want = tf_engine.generate(PROMPTS, params)
    executor = SessionExecutor(
        every_role().in_form("savedmodel"),
        batch=2,
        model=connect(server.grpc_address, model="tandem"),
    )
    engine = Engine(executor, limits_of(every_role().in_form("savedmodel"), 2))

    class Restarting:
        """Restarts the server between two rounds, twice."""

        rounds = 0

        def on_round(self, seen) -> None:
            self.rounds += 1
            if self.rounds in (2, 5):
                server.load(model_folder(every_role()))

        def on_answer(self, seen) -> None:
            """Answers are compared below."""

    engine.observe(Restarting())
    got = engine.generate(PROMPTS, params)
    assert executor.replays == 2
    assert [r.tokens for r in got] == [r.tokens for r in want]
    assert [r.logprobs for r in got] == [r.logprobs for r in want]


def test_a_call_without_an_answer_is_replayed_under_another_owner(tf_engine) -> None:
    class Losing:
        """Runs every call; the answer of the third round gets lost."""

        def __init__(self, model: LocalModel) -> None:
            self.signatures, self._model, self.rounds = model.signatures, model, 0
            self.owners = set()

        def call(self, signature, inputs):
            out = self._model.call(signature, inputs)
            if signature.startswith("round"):
                self.owners.add(int(inputs["owner"][0]))
                self.rounds += 1
                if self.rounds == 3:
                    raise Interrupted("the answer got lost")
            return out

        def close(self) -> None:
            """The model is everybody's."""

    losing = Losing(local("every"))
    got = engine_over(losing).generate(PROMPTS, options(gamma=3))
    want = tf_engine.generate(PROMPTS, options(gamma=3))
    assert [r.tokens for r in got] == [r.tokens for r in want]
    assert len(losing.owners) == 2


def test_executors_free_their_slots(server) -> None:
    def held() -> int:
        reply = client.call("release", {"owner": np.array([1], np.int32)})
        return int(np.sum(reply["owners"] > 0))

    client = connect(server.grpc_address, model="tandem")
    before = held()
    bundle = every_role().in_form("savedmodel")
    executor = SessionExecutor(bundle, batch=2, model=connect(server.grpc_address, model="tandem"))
    Engine(executor, limits_of(bundle, 2)).generate(PROMPTS, options())
    assert held() == before + 3
    executor.close()
    assert held() == before


def test_too_few_free_slots_are_a_clear_error(tf_engine) -> None:
    tf_engine.generate(PROMPTS[:1], options())
    engines = [engine_over(local("every")) for _ in range(3)]
    with pytest.raises(RequestError, match="a slot must be free; release one, or build with more"):
        for engine in engines:
            engine.generate(PROMPTS[:1], options())


def test_a_model_of_another_bundle_is_refused() -> None:
    with pytest.raises(ServingError, match=r"is it another bundle's.*round_b2_g3"):
        engine_over(local("rounds"))


@pytest.mark.parametrize(
    ("executor", "text"),
    [("tf-serving", "tf-serving has no address"), ("tf-serving:nowhere", "SCHEME://HOST:PORT")],
)
def test_an_address_is_needed(executor, text) -> None:
    with pytest.raises(ConfigError, match=text):
        tandem_export.load(every_role().path, executor=executor)


def test_weights_can_be_replaced_in_process(tf_engine) -> None:
    name = "primary.head.weight"
    bundle = every_role()
    other = dataclasses.replace(bundle, replaced={name: -bundle.weights()[name]})
    changed = Engine(tensorflow_executor(other, batch=2), limits_of(other.in_form("savedmodel"), 2))
    want, got = (e.generate(PROMPTS, options()) for e in (tf_engine, changed))
    assert [r.tokens for r in want] != [r.tokens for r in got]
    with pytest.raises(ConfigError, match="cannot be replaced"):
        tf_serving_executor(other, batch=2, server="grpc://localhost")


@pytest.mark.slow
def test_the_bundle_verifies_as_p0_under_tensorflow() -> None:
    """Its own drafter and a random one, single steps and fused rounds, all inside TensorFlow."""
    asked = VerifyOptions(executor="tensorflow", prompts=4, max_new_tokens=8, samples=500)
    report = verify(every_role().path, asked, prompts=PROMPTS)
    assert report.parity == "P0"
    assert report.passed
