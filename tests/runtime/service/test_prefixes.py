"""Kept beginnings of prompts: which is found, which goes first, and that nobody can tell."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import tandem_export
from tandem_export.errors import ConfigError
from tandem_export.runtime import Engine, PrefilledRow, SamplingParams
from tandem_export.runtime.service.prefixes import Prefixes
from tandem_export.runtime.testing import CACHE, ToyRow, toy_engine, toy_tokenizer
from tests.onnx_bundles import shared_bundle

ROW = CACHE * np.zeros(1, int).itemsize  # bytes of a toy's row


def toy_row() -> ToyRow:
    return ToyRow(np.zeros(CACHE, int))


def kept(*prompts: str, rows: int = 9) -> Prefixes:
    """Chunks of two tokens, which are letters here."""
    prefixes = Prefixes(most=rows * ROW, chunk=2)
    for prompt in prompts:
        prefixes.keep([ord(letter) for letter in prompt], toy_row())
    return prefixes


def found(prefixes: Prefixes, prompt: str) -> int:
    begun = prefixes.find([ord(letter) for letter in prompt])
    return 0 if begun is None else begun.count


@pytest.mark.parametrize(
    ("prompts", "prompt", "count"),
    [
        ([], "abcde", 0),
        (["abcde"], "abcde", 4),
        (["abcde"], "abcd", 2),  # the last token is not prefilled
        (["abcde"], "abcx", 2),
        (["abcde"], "abxx", 2),
        (["abcde"], "axxx", 0),
        (["abcde"], "abcdefgh", 4),
        (["abcdef", "abxxef"], "abxxxx", 4),
        (["ab"], "abcd", 0),  # its one whole chunk is not: the last token is left out
        (["abc"], "abcd", 2),
    ],
)
def test_the_longest_common_beginning_in_whole_chunks(
    prompts: list[str], prompt: str, count: int
) -> None:
    assert found(kept(*prompts), prompt) == count


def test_a_longer_row_takes_the_place_of_a_shorter_one() -> None:
    prefixes = kept("abc", "abcde", "abcd")
    assert len(prefixes) == 1 and found(prefixes, "abcdef") == 4
    assert prefixes.nbytes == ROW


def test_the_least_recently_used_goes_first() -> None:
    prefixes = kept("aab", "bbb", rows=2)
    assert found(prefixes, "aab") == 2  # used: now "bbb" is the oldest
    prefixes.keep([ord(letter) for letter in "ccc"], toy_row())
    assert prefixes.nbytes == 2 * ROW and len(prefixes) == 2
    assert [found(prefixes, prompt) for prompt in ("aab", "bbb", "ccc")] == [2, 0, 2]
    assert len(kept("aab", rows=0)) == 0


def test_a_row_that_lies_elsewhere_is_not_kept() -> None:
    for most in (0, 99):
        prefixes = Prefixes(most=most, chunk=2)
        prefixes.keep([1, 2, 3], PrefilledRow())
        assert prefixes.find([1, 2, 3]) is None


TURNS: list[Any] = ["speed", "primary", "router", "speed", "standalone"]


def conversation(engine: Engine, modes: list[Any], first: list[int], **options: Any) -> list[Any]:
    """Turns of one conversation: each prompt is what was said before, and something new."""
    told, prompt = [], first
    for turn, mode in enumerate(modes):
        params = SamplingParams(mode=mode, seed=turn, ignore_end_tokens=True, **options)
        (result,) = engine.generate([prompt], params)
        told.append((result.tokens, result.logprobs, result.stats.accepted_at))
        prompt = [*prompt, *result.tokens, 1 + turn]
    return told


@hypothesis.settings(max_examples=25)
@hypothesis.given(
    st.lists(st.sampled_from(TURNS), min_size=2, max_size=4),
    st.lists(st.integers(1, 12), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.9]),
)
def test_a_conversation_is_the_same_with_speculation_on_and_off(
    modes: list[Any], first: list[int], temperature: float
) -> None:
    options = {"max_new_tokens": 4, "temperature": temperature, "logprobs": True}
    plain, executor = toy_engine()
    want = conversation(plain, modes, first, **options)
    keeping = Engine(executor, plain.limits, toy_tokenizer(), prefix_bytes=100 * ROW)
    assert conversation(keeping, modes, first, **options) == want
    chunks = len(executor.chunks)
    assert conversation(keeping, modes, first, **options) == want
    assert len(executor.chunks) - chunks <= 2 * len(modes), "whole chunks are left out"


@pytest.mark.parametrize("executor", ["jax", "onnxruntime"])
@pytest.mark.parametrize("kind", ["tandem", "independent"])
def test_acceptance_and_tokens_are_those_of_a_fresh_prefill(executor: str, kind: str) -> None:
    """P0: log-probabilities too, bit for bit, and what the drafter reads of the primary."""
    path = shared_bundle(kind, "stablehlo", "onnx").path
    modes: list[Any] = ["speed", "primary", "speed"]
    options: dict[str, Any] = {"max_new_tokens": 4, "logprobs": True}
    told = []
    for prefix_bytes in (0, 2**24):
        with tandem_export.load(
            path, executor=executor, modes=modes[:2], threads=1, prefix_bytes=prefix_bytes
        ) as engine:
            turns = [conversation(engine, modes, [1, 2, 3, 4, 5], **options) for _ in range(2)]
            (last,) = engine.generate([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]], SamplingParams(**options))
            told.append([*turns, last.tokens, last.logprobs])
            assert last.stats.reused_tokens == (4 if prefix_bytes else 0)
    assert told[0] == told[1]


def test_statistics_and_rules() -> None:
    plain, executor = toy_engine()
    engine = Engine(executor, plain.limits, prefix_bytes=ROW)
    prompt, short = [1 + i % 9 for i in range(20)], SamplingParams(max_new_tokens=4)
    reused = [engine.generate([prompt], short)[0].stats.reused_tokens for _ in range(2)]
    assert reused == [0, 16]
    with pytest.raises(ConfigError, match="`prefix_bytes` must be at least 0, and 0 where"):
        Engine(executor, plain.limits, prefix_bytes=-1)
    executor.chunk = None
    with pytest.raises(ConfigError, match=r"where the rows are in a served model. Got: 1"):
        Engine(executor, plain.limits, prefix_bytes=1)
