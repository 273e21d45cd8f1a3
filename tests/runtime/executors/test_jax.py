from __future__ import annotations

import shutil
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

import tandem_export
from tandem_export.bundle import open_bundle
from tandem_export.bundle.amend import add_tuning
from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime import Engine, SamplingParams, load
from tests.runtime.executors.bundles import CACHE, build_tiny

PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13, 14, 15], [2, 9]]
MODES: Any = ("speed", "router", "standalone", "standalone_free", "primary", "drafter")


class Shelf:
    """Bundles and engines of this module, each made once; compiled graphs are shared on disk."""

    def __init__(self, folder) -> None:
        self.folder, self.compiled = folder, folder / "compiled"
        self.bundle = cache(lambda kind: build_tiny(kind, folder))
        self.engine = cache(self.load)

    def load(self, kind: str, **options: Any) -> Engine:
        options = {"modes": ("speed",), "compilation_cache": self.compiled} | options
        return load(self.bundle(kind).path, **options)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    old = {name: getattr(jax.config, name) for name in names}
    yield Shelf(tmp_path_factory.mktemp("bundles"))
    for name, value in old.items():
        jax.config.update(name, value)


def tokens(results) -> list[tuple[int, ...]]:
    return [result.tokens for result in results]


def options(**more: Any) -> SamplingParams:
    return SamplingParams(max_new_tokens=18, ignore_end_tokens=True, **more)


@pytest.mark.parametrize("mode", ["speed", "router"])
@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 0.8, "rule": "gumbel", "seed": 4}],
    ids=["greedy", "gumbel"],
)
def test_text_is_the_primarys_own_at_the_same_width(shelf, mode, sampling) -> None:
    """P0."""
    engine = shelf.engine("tandem")
    want = engine.generate(PROMPTS, options(mode="primary", gamma=3, **sampling))
    got = engine.generate(PROMPTS, options(mode=mode, gamma=3, **sampling))
    assert tokens(got) == tokens(want)
    assert sum(result.stats.accepted for result in got) > 0
    assert sum(result.stats.accepted for result in want) == 0


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("tandem", mode) for mode in MODES), ("independent", "speed"), ("independent", "drafter")],
)
@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 0.9, "seed": 2**40 + 5, "top_k": 12, "top_p": 0.95, "min_p": 0.01},
        {"temperature": 0.7, "rule": "gumbel", "seed": 1},
    ],
    ids=["greedy", "leviathan", "gumbel"],
)
def test_fused_rounds_agree_with_the_reference_on_the_host(shelf, kind, mode, sampling) -> None:
    gamma = 3 if mode == "primary" else None
    params = options(mode=mode, gamma=gamma, logprobs=True, **sampling)
    engines = shelf.engine(kind), shelf.engine(kind, driver="steps")
    one, other = (engine.generate(PROMPTS, params) for engine in engines)
    assert tokens(one) == tokens(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        assert a.stats.drafted_at == b.stats.drafted_at
        assert a.stats.accepted_at == b.stats.accepted_at
        assert a.stats.router_stops == b.stats.router_stops


@pytest.mark.parametrize("rule", ["leviathan", "gumbel"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_twin_has_every_draft_accepted(shelf, rule, temperature) -> None:
    params = options(temperature=temperature, rule=rule)
    for result in shelf.engine("twin").generate(PROMPTS, params):
        assert result.stats.accepted == result.stats.drafted > 0
        assert result.stats.rounds == 5  # 4 + 4 + 4 + 4 + 2 tokens


def test_a_prompt_fills_the_cache_to_the_last_row(shelf) -> None:
    engine = shelf.engine("tandem")
    prompt = [1 + i % 16 for i in range(CACHE - 18 - 3)]
    speed, alone = (
        engine.generate([prompt], options(mode=mode, gamma=3))[0] for mode in ("speed", "primary")
    )
    assert speed.tokens == alone.tokens
    with pytest.raises(RequestError, match=f"cache's {CACHE} positions"):
        engine.generate([[1, *prompt]], options())


def test_nothing_compiles_after_warm_up(shelf) -> None:
    """Counted by JAX itself, and by the executor."""
    engine = shelf.load("tandem")
    compiled: list[str] = []

    def count(event: str, duration_secs: float, **kwargs: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        engine.generate(PROMPTS, [options(), options(gamma=2), options(temperature=1.0), options()])
        assert compiled == []
        assert engine.stats.compilations_after_warm_up == 0
        engine.generate(PROMPTS, options(mode="primary"))
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert len(compiled) == 1, "width 1 was not asked for"
    assert engine.stats.compilations_after_warm_up == 1


def test_a_request_leaves_nothing_on_the_device(shelf) -> None:
    engine = shelf.engine("tandem")
    engine.generate(PROMPTS, options())
    before = len(jax.live_arrays())
    engine.generate(PROMPTS, options())
    assert len(jax.live_arrays()) <= before


def test_compiled_graphs_are_kept_and_used_again(shelf) -> None:
    want = tokens(shelf.engine("tandem").generate(PROMPTS, options()))
    kept = {path.name for path in shelf.compiled.iterdir()}
    assert len(kept) >= 3, "prefill, insert, round"
    assert tokens(shelf.load("tandem").generate(PROMPTS, options())) == want
    assert {path.name for path in shelf.compiled.iterdir()} == kept


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"executor": "cuda"},
            ConfigError,
            "`executor` must be an engine, perhaps with options: jax, ",
        ),
        ({"batch": 3}, ConfigError, "`batch` must be one of the bundle's buckets [2]. Got: 3"),
        ({"driver": "slow"}, ConfigError, "`driver` must be one of"),
        ({"gamma": 9}, RequestError, "`gamma` must be at most 3"),
        ({"modes": ("router",)}, RequestError, "no 'round_router' graphs"),
    ],
    ids=["executor", "batch", "driver", "gamma", "router"],
)
def test_load_names_what_is_wrong(shelf, arguments, error, text) -> None:
    with pytest.raises(error) as raised:
        tandem_export.load(shelf.bundle("twin").path, **arguments)
    assert text in str(raised.value)


def test_an_option_that_the_compiler_dropped_is_done_without(shelf, tmp_path) -> None:
    folder = shutil.copytree(shelf.bundle("tandem").path, tmp_path / "bundle")
    bundle = open_bundle(folder)
    names = [graph.name for graph in bundle.manifest.graphs if graph.role == "insert"]
    gone = {name: {"xla_gone": "1"} for name in names}
    add_tuning(bundle, compiler_options={"cpu": gone})
    with pytest.warns(RuntimeWarning, match="insert_b.*without the options.*'xla_gone'"):
        [got] = load(folder, modes=("speed",)).generate(PROMPTS[:1], options())
    [want] = shelf.engine("tandem").generate(PROMPTS[:1], options())
    assert got.tokens == want.tokens
