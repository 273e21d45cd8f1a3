"""`config.json` in the ways it was written over the years."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tandem_export.config import RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import FAMILIES, family
from tandem_export.importing.hugging_face.config import decoder_config

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


LONGROPE = "must be one of ['default', 'linear', 'llama3', 'yarn', 'dynamic']. Got: 'longrope'"


def read(kind: str, **values: Any):
    given = {name: value for name, value in (SMALL | values).items() if value is not ...}
    return decoder_config(given, FAMILIES[kind])


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
        num_attention_heads=...,
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
        ("llama", {"rope_scaling": {"rope_type": "longrope"}}, LONGROPE),
        ("phi3", {"rope_scaling": {"type": "yarn"}}, "`rope_scaling.type` must be one of"),
        ("llama", {"rope_scaling": {"type": "linear"}}, "`rope_scaling.factor` is missing"),
        (
            "llama",
            {"rope_scaling": ["linear"]},
            "`rope_scaling` must be an object. Got: [",
        ),
        ("llama", {"rope_scaling": {"rope_theta": "x"}}, "`rope_scaling.rope_theta` must be a num"),
        ("llama", {"hidden_act": "relu"}, "must be one of ['silu', 'gelu_pytorch_tanh']"),
        ("llama", {"quantization_config": {"bits": 4}}, "`quantization_config` must be null"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "`use_bidirectional_attention`"),
        ("gemma2", {"layer_types": ["chunked_attention"]}, "`layer_types` must be one of"),
        ("gemma2", {"layer_types": [1]}, "`layer_types` must be a list of texts. Got: [1]"),
        ("llama", {"hidden_size": None}, "the setting `hidden_size` is missing"),
        ("llama", {"hidden_size": "32"}, "`hidden_size` must be a whole number of 1 .. 67108864"),
        ("llama", {"hidden_size": 32.0}, "`hidden_size` must be a whole number"),
        ("llama", {"hidden_size": True}, "`hidden_size` must be a whole number"),
        ("llama", {"num_hidden_layers": 2**31}, "of 1 .. 2048. Got: 2147483648"),
        ("llama", {"rms_norm_eps": float("nan")}, "`rms_norm_eps` must be a number of 0 .. 1e+09"),
        ("llama", {"tie_word_embeddings": "yes"}, "`tie_word_embeddings` must be true or false"),
    ],
)
def test_what_cannot_be_honoured_is_refused(kind: str, values: dict, message: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        read(kind, **values)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "values", "want"),
    [
        ("llama", {}, {}),
        ("llama", {"attention_bias": True}, {"qkv_bias", "output_bias"}),
        ("llama", {"mlp_bias": True}, {"ff_bias"}),
        ("mistral", {"attention_bias": True, "mlp_bias": True}, {}),
        ("qwen2", {"attention_bias": True}, {"qkv_bias"}),
        ("qwen3", {"attention_bias": True}, {"qkv_bias", "output_bias"}),
        ("seed_oss", {}, {"qkv_bias"}),
        ("internlm3", {"qkv_bias": True, "bias": True}, {"qkv_bias", "output_bias", "ff_bias"}),
    ],
)
def test_biases_are_those_that_the_family_reads(kind: str, values: dict, want: set) -> None:
    config = read(kind, **values)
    assert {n for n in ("qkv_bias", "output_bias", "ff_bias") if getattr(config, n)} == set(want)


def test_soft_caps_of_null_are_none() -> None:
    capped, free = (
        read("gemma2", **values)
        for values in ({}, {"attn_logit_softcapping": None, "final_logit_softcapping": None})
    )
    assert (capped.attention_softcap, capped.logit_softcap) == (50.0, 30.0)
    assert (free.attention_softcap, free.logit_softcap) == (None, None)


def test_original_positions_are_all_positions_where_nothing_else_is_said() -> None:
    scaling = {**OLD_LLAMA3["rope_scaling"]}
    del scaling["original_max_position_embeddings"]
    inside = read("llama", rope_scaling=scaling, max_position_embeddings=4096)
    outside = read("llama", rope_scaling=scaling, original_max_position_embeddings=512)
    default = read("llama", rope_scaling=scaling)
    assert [c.rope.original_positions for c in (inside, outside, default)] == [4096, 512, 2048]


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}


@pytest.mark.parametrize(
    ("scaling", "want"),
    [
        ({}, {"attention_factor": 1 + 0.1 * math.log(4)}),
        ({"attention_factor": 1.25, "beta_fast": 16}, {"attention_factor": 1.25, "beta_fast": 16}),
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, {"attention_factor": 1.0}),
        ({"mscale": 0.7}, {"attention_factor": 1 + 0.1 * math.log(4)}),
        ({"factor": None}, {"factor": 2.0, "attention_factor": 1 + 0.1 * math.log(2)}),
        ({"truncate": False}, {"round_band": False, "attention_factor": 1 + 0.1 * math.log(4)}),
    ],
)
def test_yarn(scaling: dict, want: dict) -> None:
    config = read("qwen2", rope_scaling=YARN | scaling, max_position_embeddings=65_536)
    given = {"factor": 4.0, "original_positions": 32_768} | want
    assert config.rope == RopeConfig(scaling="yarn", **given)


def test_dynamic_scaling_and_partial_rotation() -> None:
    dynamic = {"type": "dynamic", "factor": 2.0}
    config = read("llama", rope_scaling=dynamic, max_position_embeddings=4096)
    assert config.rope == RopeConfig(scaling="dynamic", factor=2.0, original_positions=4096)
    for values in (
        {"partial_rotary_factor": 0.75},
        {"rope_parameters": {"partial_rotary_factor": 0.75}},
    ):
        assert read("phi3", **values).rope == RopeConfig(rotary_size=6)


def test_unknown_families_are_refused_with_a_list_of_the_known() -> None:
    with pytest.raises(CheckpointError, match=r"\['gemma', .*'seed_oss'\]\. Got: 'smollm3'"):
        family("smollm3", "config.json")
