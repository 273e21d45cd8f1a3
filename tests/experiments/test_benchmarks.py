"""The programs that measure ONNX graphs, on tiny ones."""

from __future__ import annotations

import pytest

from experiments.hand_steps import compare as compare_by_hand
from experiments.int8_forms import SESSIONS, compare
from experiments.random_pair import write_random_pair
from tandem_export.checkpoint import read_checkpoint
from tandem_export.config import to_dict
from tests.onnx_bundles import shared_bundle
from tests.pairs import PRIMARY

STEPS = ("primary_block", "drafter_step")


@pytest.fixture(scope="module")
def wide():
    return shared_bundle("tandem", "onnx", roles=STEPS)


@pytest.mark.parametrize("width", [1, 3])
def test_the_step_by_hand_agrees_with_the_exported_one(wide, width):
    graph = wide.find("primary_block", width=width)
    found = compare_by_hand(wide, graph, repetitions=2)
    assert 0 < found.difference < 2e-5, "another order of additions"
    assert found.exported_ms > 0 and found.hand_ms > 0


def test_a_decoder_that_is_not_plain_is_refused(wide):
    """This drafter norms queries and keys, which the step by hand does not."""
    with pytest.raises(ValueError, match=r"drafter_step_b2_t1: the forms must agree .* Got: "):
        compare_by_hand(wide, wide.find("drafter_step", width=1), repetitions=1)


def test_every_int8_form_runs(wide):
    int8 = shared_bundle("tandem", "onnx", quantize="int8", roles=STEPS)
    found = compare(int8, wide, int8.find("primary_block", width=3), repetitions=2)
    difference = {form.form: form.difference for form in found}
    assert set(SESSIONS) < set(difference)
    exact = {form for form, off in difference.items() if off < 2e-5}
    rounded = {"float32", "OpenVINO, float32", "MatMulNBits, rounded activations"}
    assert exact == set(difference) - rounded, "the weights of the float32 bundle are others"
    assert all(form.cpu_ms > 0 and form.wall_ms > 0 for form in found)


def test_a_random_pair_is_a_checkpoint(tmp_path):
    """In a text of its tokenizer, every byte is one token."""
    toml = "".join(f"{name} = {value}\n" for name, value in _plain(PRIMARY).items())
    (tmp_path / "pair.toml").write_text(f"[primary]\n{toml}\n[drafter]\n{toml}")
    write_random_pair(str(tmp_path / "pair.toml"), tmp_path / "pair")
    made = read_checkpoint(tmp_path / "pair")
    assert made.config.primary.width == PRIMARY.width
    assert made.config.layer_map == (1,)
    assert made.vocabulary.size == 256


def _plain(config):
    numbers = {name: v for name, v in to_dict(config).items() if type(v) is int}
    return numbers | {"vocab_size": 300}
