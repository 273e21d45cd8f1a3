"""ONNX Runtime and OpenVINO over real tiny bundles, against JAX on the same weights."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from tandem_export.bundle import Bundle
from tandem_export.errors import BundleError, ConfigError, RequestError
from tandem_export.parity import VerifyOptions, verify
from tandem_export.parity.subject import with_random_drafter
from tandem_export.runtime import Engine, SamplingParams, limits_of, load
from tandem_export.runtime.executors import make_executor
from tandem_export.runtime.executors.host import onnxruntime
from tests.onnx_bundles import shared_bundle

ENGINES = ("onnxruntime", "openvino")
PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13, 14, 15], [2, 9]]


def bundle(kind: str) -> Bundle:
    roles = ("prefill", "insert", "primary_block", "drafter_step", "round")
    if kind == "tandem":
        roles += ("router", "round_router")
    return shared_bundle(kind, "stablehlo", "onnx", roles=roles)


def narrow_bundle() -> Bundle:
    roles = ("prefill", "primary_block", "drafter_step")
    return shared_bundle("tandem", "onnx", dtype="bfloat16", roles=roles)


@cache
def engine(kind: str, executor: str) -> Engine:
    return load(bundle(kind).path, executor=executor, modes=())


def options(**changes: Any) -> SamplingParams:
    return SamplingParams(**{"max_new_tokens": 8, "ignore_end_tokens": True} | changes)


def tokens(engine: Engine, params: SamplingParams) -> list[tuple[int, ...]]:
    return [result.tokens for result in engine.generate(PROMPTS, params)]


@pytest.mark.parametrize("executor", ENGINES)
def test_leviathan_with_filters_and_samples(executor: str) -> None:
    params = options(temperature=0.8, top_k=9, top_p=0.9, min_p=0.01, num_samples=3, seed=2**40)
    got = tokens(engine("tandem", executor), params)
    assert got == tokens(engine("tandem", "jax"), params)
    assert len(set(got)) > len(PROMPTS), "samples of one prompt differ"


@pytest.mark.parametrize("executor", ENGINES)
@pytest.mark.parametrize("temperature", [0.0, 0.7], ids=["greedy", "sampled"])
def test_a_drafter_that_is_the_primary_is_always_accepted(
    temperature: float, executor: str
) -> None:
    own = engine("twin", executor)
    own.reset_stats()
    own.generate(PROMPTS, options(temperature=temperature, seed=11, max_new_tokens=9))
    assert own.stats.drafted == own.stats.accepted > 0


@pytest.mark.parametrize("executor", ENGINES)
def test_a_useless_drafter_changes_no_token(executor: str) -> None:
    whole = bundle("tandem").in_form("onnx")
    hostile = with_random_drafter(whole)
    runner = make_executor(executor, hostile, batch=2, compilation_cache=None)
    own = Engine(runner, limits_of(whole, 2))
    for params in (options(), options(temperature=1.0, rule="gumbel", seed=3)):
        want = tokens(engine("tandem", executor), dataclasses.replace(params, mode="primary"))
        assert tokens(own, params) == want
    assert own.stats.accepted < own.stats.drafted / 2


@pytest.mark.parametrize("executor", ENGINES)
def test_a_step_writes_its_rows_in_place_and_no_others(executor: str) -> None:
    runner: Any = make_executor(executor, bundle("tandem"), batch=2, compilation_cache=None)
    start = np.array([4, 9], np.int32)
    runner.primary_block(np.ones((2, 3), np.int32), start)
    buffers = {who: cache.layers for who, cache in runner._caches.items()}
    before = {n: a.copy() for layers in buffers.values() for n, a in layers.items()}
    addresses = {n: a.ctypes.data for layers in buffers.values() for n, a in layers.items()}
    runner.primary_block(np.full((2, 3), 5, np.int32), start)
    for layers in buffers.values():
        for name, array in layers.items():
            assert array.ctypes.data == addresses[name]
            changed = np.argwhere((array != before[name]).any((1, 3)))
            assert [tuple(place) for place in changed] == [
                (b, place) for b in (0, 1) for place in range(start[b], start[b] + 3)
            ]


@pytest.mark.parametrize("executor", ENGINES)
def test_a_prefill_reads_the_weights_where_they_lie(executor: str) -> None:
    name = "primary.layers.0.attention.k.weight"
    own = bundle("tandem").weights()[name].copy()
    changing = dataclasses.replace(bundle("tandem").in_form("onnx"), replaced={name: own})
    runner: Any = make_executor(executor, changing, batch=2, compilation_cache=None)
    before = runner.prefill([1, 2, 3, 4, 5]).rows["primary"]
    own[:] = 0
    after = runner.prefill([1, 2, 3, 4, 5]).rows["primary"]
    assert before[:, 0].any()
    assert not after[:, 0].any(), "keys are products with the zeros"
    np.testing.assert_array_equal(after[:, 1], before[:, 1])


@pytest.mark.parametrize(
    ("executor", "dtype"), [*((name, "float32") for name in ENGINES), ("onnxruntime", "bfloat16")]
)
@pytest.mark.parametrize("mapped", [False, True], ids=["packed", "mapped"])
def test_a_mapped_block_reads_the_weights_where_they_lie(
    mapped: bool, executor: str, dtype: str, monkeypatch
) -> None:
    """A packed one reads its own copy of them, which it made once, bfloat16 widened."""
    monkeypatch.setattr(onnxruntime, "_LARGEST_FOLDED", 16)  # bytes: the tensors are tiny
    name = "primary.layers.0.attention.k.weight"
    whole = bundle("tandem") if dtype == "float32" else narrow_bundle()
    own = whole.weights()[name].copy()
    changing = dataclasses.replace(whole.in_form("onnx"), replaced={name: own})
    detail = f"{executor}:mapped" if mapped else executor
    runner: Any = make_executor(detail, changing, batch=2, compilation_cache=None)
    block, start = np.ones((2, 3), np.int32), np.zeros(2, np.int32)
    runner.primary_block(block, start)
    own[:] = 0
    runner.primary_block(block, start)
    keys = runner._caches["primary"].layers["primary_k.00"][:, :, :3]
    assert bool(keys.any()) is not mapped


@pytest.mark.parametrize("executor", ENGINES)
def test_a_block_past_the_cache_is_refused(executor: str) -> None:
    runner = make_executor(executor, bundle("tandem"), batch=2, compilation_cache=None)
    with pytest.raises(RequestError, match=r"`start` must be within 0 \.\. 29"):
        runner.primary_block(np.ones((2, 3), np.int32), np.array([0, 30], np.int32))


@pytest.mark.parametrize("executor", ENGINES)
def test_it_verifies_against_jax(executor: str) -> None:
    """P1 with the drafter's own and a random one against the JAX primary, P2 by chi-square."""
    asked = VerifyOptions(
        prompts=4, max_new_tokens=8, samples=400, executor=executor, reference="jax"
    )
    report = verify(bundle("tandem").path, asked, prompts=PROMPTS)
    assert report.passed
    assert {check.level for check in report.checks} == {"P1", "P2"}
    assert all("fused" not in check.claim for check in report.checks if check.level == "P1")


def test_bfloat16_weights_run_in_float32() -> None:
    made = narrow_bundle()
    assert {str(tensor.dtype) for tensor in made.weights().values()} == {"bfloat16"}
    wide, narrow = (load(made.path, executor=name, modes=()) for name in ENGINES)
    assert tokens(wide, options()) == tokens(narrow, options())


def test_openvino_can_compute_in_bfloat16() -> None:
    own = load(bundle("tandem").path, executor="openvino:bfloat16", modes=())
    (result,) = own.generate([PROMPTS[1]], options(logprobs=True))
    assert result.logprobs is not None
    assert np.isfinite(result.logprobs).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"executor": "onnxruntime", "threads": 0}, ConfigError, "`threads` must be None or at"),
        ({"executor": "onnxruntime", "batch": 3}, ConfigError, r"buckets \[2\]. Got: 3"),
        ({"executor": "openvino:int3"}, ConfigError, "'int3' is no option of openvino"),
        (
            {"executor": "onnxruntime", "gamma": -1},
            ConfigError,
            "`gamma` must be None or .* Got: -1",
        ),
        ({"executor": "onnxruntime", "gamma": 1.5}, ConfigError, "`gamma` must be .* Got: 1.5"),
        ({"executor": "jax"}, BundleError, "has no 'jax_export' graphs; it has: \\['onnx'\\]"),
    ],
    ids=["threads", "batch", "option", "gamma", "part", "form"],
)
def test_load_names_what_is_wrong(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        load(narrow_bundle().path, **arguments)
