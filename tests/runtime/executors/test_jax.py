from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import tandem_export
from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime import SamplingParams
from tandem_export.runtime.loading import load
from tests.runtime.executors.bundles import CACHE, build_tiny

PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1], [2, 9]]
ALL_MODES: Any = ("speed", "router", "standalone", "standalone_free", "primary", "drafter")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module", params=["tandem", "independent"])
def bundle(request, folder):
    return build_tiny(request.param, folder)


@pytest.fixture(scope="module")
def engines(bundle):
    """Fused and step by step, over the same bundle."""
    modes = tuple(mode for mode in ALL_MODES if mode != "router" or bundle.manifest.model.router)
    return {driver: load(bundle.path, driver=driver, modes=modes) for driver in ("fused", "steps")}


def tokens(results) -> list[tuple[int, ...]]:
    return [result.tokens for result in results]


def options(**more: Any) -> SamplingParams:
    return SamplingParams(max_new_tokens=18, ignore_end_tokens=True, **more)


@pytest.mark.parametrize("mode", ["speed", "router"])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "rule": "gumbel", "seed": 4}])
def test_text_is_the_primarys_own_at_the_same_width(engines, mode, sampling) -> None:
    """P0: greedy and gumbel."""
    engine = engines["fused"]
    if mode == "router" and not engine.limits.gammas["round_router"]:
        pytest.skip("this pair has no router")
    want = engine.generate(PROMPTS, options(mode="primary", gamma=3, **sampling))
    got = engine.generate(PROMPTS, options(mode=mode, gamma=3, **sampling))
    assert tokens(got) == tokens(want)
    assert engine.stats.drafted > 0


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 0.9, "seed": 2**40 + 5, "top_k": 12, "top_p": 0.95, "min_p": 0.01},
        {"temperature": 0.7, "rule": "gumbel", "seed": 1},
    ],
    ids=["greedy", "leviathan", "gumbel"],
)
def test_fused_rounds_agree_with_the_reference_on_the_host(engines, mode, sampling) -> None:
    if mode == "router" and not engines["fused"].limits.gammas["round_router"]:
        pytest.skip("this pair has no router")
    params = options(mode=mode, logprobs=True, **sampling)
    one, other = (engines[driver].generate(PROMPTS, params) for driver in ("fused", "steps"))
    assert tokens(one) == tokens(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        assert (a.stats.drafted_at, a.stats.accepted_at) == (
            b.stats.drafted_at,
            b.stats.accepted_at,
        )
        assert a.stats.router_stops == b.stats.router_stops


def test_a_twin_has_every_draft_accepted(folder) -> None:
    engine = load(build_tiny("twin", folder).path)
    for rule in ("leviathan", "gumbel"):
        for temperature in (0.0, 1.0):
            params = options(temperature=temperature, rule=rule)
            for result in engine.generate(PROMPTS, params):
                assert result.stats.accepted == result.stats.drafted > 0
                assert result.stats.rounds == 5  # 4 + 4 + 4 + 4 + 2 tokens


def test_a_row_does_not_depend_on_its_neighbours(engines) -> None:
    engine, params = engines["fused"], options(temperature=1.0, seed=9)
    together = tokens(engine.generate(PROMPTS, params))
    assert together == [engine.generate([prompt], params)[0].tokens for prompt in PROMPTS]


def test_a_long_prompt_fills_the_cache_to_the_last_row(engines) -> None:
    prompt = [1 + i % 16 for i in range(CACHE - 18 - 3)]
    params = {mode: options(mode=mode, gamma=3) for mode in ("speed", "primary")}
    speed, alone = (engines["fused"].generate([prompt], p)[0] for p in params.values())
    assert speed.tokens == alone.tokens
    with pytest.raises(RequestError, match=f"cache's {CACHE} positions"):
        engines["fused"].generate([[1, *prompt]], params["speed"])


def test_nothing_compiles_after_warm_up(bundle) -> None:
    """Counted by JAX itself, and by the executor."""
    engine = load(bundle.path, modes=("speed", "primary"))
    compiled: list[str] = []

    def count(event: str, _: float, **__: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        params = [options(), options(mode="primary"), options(temperature=1.0), options(gamma=2)]
        engine.generate(PROMPTS, params)
        assert compiled == []
        assert engine.stats.compilations_after_warm_up == 0
        engine.generate(PROMPTS, options(mode="drafter"))
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert len(compiled) == 1
    assert engine.stats.compilations_after_warm_up == 1


def test_one_copy_of_the_weights_and_no_growth(bundle) -> None:
    engine = load(bundle.path, modes=("speed", "primary"))
    engine.generate(PROMPTS, options())
    before = len(jax.live_arrays())
    engine.generate(PROMPTS, options())
    assert len(jax.live_arrays()) <= before


def test_compiled_graphs_are_kept_in_the_cache_folder(bundle, tmp_path) -> None:
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    old = {name: getattr(jax.config, name) for name in names}
    try:
        want = tokens(load(bundle.path, compilation_cache=tmp_path).generate(PROMPTS, options()))
        kept = sorted(tmp_path.iterdir())
        assert kept
        again = load(bundle.path, compilation_cache=tmp_path)
        assert tokens(again.generate(PROMPTS, options())) == want
        assert sorted(tmp_path.iterdir()) == kept
    finally:
        for name, value in old.items():
            jax.config.update(name, value)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"executor": "cuda"}, ConfigError, "`executor` must be one of ('jax',). Got: 'cuda'"),
        ({"batch": 3}, ConfigError, "`batch` must be one of the bundle's buckets [2]. Got: 3"),
        ({"driver": "slow"}, ConfigError, "`driver` must be one of"),
        ({"gamma": 9}, RequestError, "`gamma` must be at most 3"),
    ],
    ids=["executor", "batch", "driver", "gamma"],
)
def test_load_names_what_is_wrong(bundle, arguments, error, text) -> None:
    with pytest.raises(error) as raised:
        tandem_export.load(bundle.path, **arguments)
    assert text in str(raised.value)
