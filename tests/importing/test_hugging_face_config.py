"""`config.json` in the ways it was written over the years."""

from __future__ import annotations

from typing import Any

import pytest

from tandem_export.config import RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import FAMILIES, family
from tandem_export.importing.hugging_face_config import decoder_config

SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
OLD_LLAMA3 = {
    "rope_theta": 5e5,
    "rope_scaling": {
        "type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}


def read(kind: str, **values: Any):
    return decoder_config(SMALL | values, FAMILIES[kind], "config.json")


def test_older_rotary_settings() -> None:
    assert read("llama", **OLD_LLAMA3).rope == RopeConfig(
        theta=5e5, scaling="llama3", factor=8.0, original_positions=8192
    )
    linear = {"rope_type": "linear", "factor": 8.0}
    gemma = read("gemma3_text", rope_scaling=linear, rope_local_base_freq=1e3, rope_theta=2e6)
    assert gemma.rope == RopeConfig(theta=2e6, local_theta=1e3, scaling="linear", factor=8.0)


def test_gemma_3_of_four_billion_leaves_most_to_defaults() -> None:
    """The `text_config` that was released has these keys alone, and the sizes."""
    config = read(
        "gemma3_text",
        sliding_window=1024,
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
        num_attention_heads=None,
    )
    assert (config.num_heads, config.num_kv_heads, config.head_size) == (8, 4, 256)
    assert config.rope.local_theta == 1e4 and config.rope.theta == 1e6
    assert config.window_pattern == (True,) * 5 + (False,) + (True,) * 2
    assert config.vocab_size == 96 and config.tied_embedding and config.query_scale is None


@pytest.mark.parametrize(
    ("kind", "values", "want"),
    [
        ("mistral", {"sliding_window": 7}, (7, (True,) * 8)),
        ("mistral", {"sliding_window": None}, (None, ())),
        ("mistral", {}, (4096, (True,) * 8)),
        ("qwen2", {"sliding_window": 7, "use_sliding_window": False}, (None, ())),
        (
            "qwen2",
            {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 6},
            (7, (False,) * 6 + (True,) * 2),
        ),
        ("gemma2", {}, (4096, (True, False) * 4)),
        ("gemma3_text", {"sliding_window_pattern": 2}, (4096, (True, False) * 4)),
        ("llama", {}, (None, ())),
    ],
    ids=[
        "mistral",
        "mistral-none",
        "mistral-default",
        "qwen-off",
        "qwen",
        "gemma2",
        "old",
        "llama",
    ],
)
def test_windows(kind: str, values: dict[str, Any], want: tuple) -> None:
    config = read(kind, **values)
    assert (config.sliding_window, config.window_pattern) == want


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            "qwen2",
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
            "`rope_type` must be one of ['default', 'linear', 'llama3']. Got: 'yarn'",
        ),
        ("llama", {"hidden_act": "relu"}, "must be one of ['silu', 'gelu_pytorch_tanh']"),
        ("llama", {"quantization_config": {"bits": 4}}, "`quantization_config` must be one of"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "`use_bidirectional_attention`"),
        ("gemma2", {"layer_types": ["chunked_attention"]}, "`layer_types` must be one of"),
        ("llama", {"hidden_size": None}, "the setting 'hidden_size' is missing"),
    ],
    ids=["rope", "activation", "quantised", "bidirectional", "layers", "missing"],
)
def test_what_cannot_be_honoured_is_refused(kind: str, values: dict, message: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        read(kind, **values)
    assert message in str(raised.value) and str(raised.value).startswith("config.json: ")


def test_unknown_families_are_refused_with_a_list_of_the_known() -> None:
    with pytest.raises(CheckpointError, match=r"\['gemma2', .*'qwen3'\]\. Got: 'phi3'"):
        family("phi3", "config.json")
