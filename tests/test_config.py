from __future__ import annotations

import dataclasses
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from tandem_export.config import (
    RopeConfig,
    RouterConfig,
    TandemConfig,
    default_layer_map,
    from_dict,
    to_dict,
)
from tandem_export.errors import ConfigError, TandemError
from tests.tiny import FAMILIES, GEMMA3, INDEPENDENT, LLAMA, TANDEM, alone


@pytest.mark.parametrize(
    "config",
    [TANDEM, INDEPENDENT, *(alone(decoder) for decoder in FAMILIES.values())],
    ids=["tandem", "independent", *FAMILIES],
)
def test_a_config_survives_json(config):
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_every_field_is_written():
    fields = {field.name for field in dataclasses.fields(TandemConfig)}
    assert to_dict(TANDEM).keys() == fields
    assert to_dict(TANDEM)["primary"]["rope"]["theta"] == 50.0


def test_later_fields_are_left_out_where_they_have_their_defaults():
    rope = to_dict(alone(FAMILIES["yarn"]))["primary"]["rope"]
    assert rope["beta_fast"] == 4.0 and rope["attention_factor"] == 1.25
    assert not {"beta_slow", "round_band", "rotary_size"} & rope.keys()
    assert not {"beta_fast", "attention_factor"} & to_dict(TANDEM)["primary"]["rope"].keys()


def test_configs_are_frozen_and_hashable():
    assert hash(TANDEM) == hash(from_dict(to_dict(TANDEM)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        TANDEM.kind = "independent"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 0}, r"`vocab_size` must be within 1 \.\. \d+\. Got: 0"),
        ({"num_layers": 2.0}, r"`num_layers` must be within 1 \.\. 2048\. Got: 2\.0"),
        ({"num_layers": 0}, r"`num_layers` must be within 1 \.\. 2048\. Got: 0"),
        ({"num_layers": 2**31}, r"`num_layers` must be within 1 \.\. 2048\. Got: 2147483648"),
        ({"rope": RopeConfig(rotary_size=6)}, r"`rope\.rotary_size` must be at most 4\. Got: 6"),
        (
            {"rope": RopeConfig(scaling="dynamic", rotary_size=2)},
            r"`rope\.rotary_size` must be above 2 with dynamic scaling\. Got: 2",
        ),
        ({"norm_eps": float("nan")}, r"`norm_eps` must be at least 0\. Got: nan"),
        ({"query_scale": 0.0}, r"`query_scale` must be None or positive\. Got: 0\.0"),
        ({"embedding_scale": float("inf")}, r"`embedding_scale` must be positive\. Got: inf"),
        ({"head_size": 5}, r"`head_size` must be even .*\. Got: 5"),
        ({"num_heads": 3}, r"`num_heads` must be a multiple of num_kv_heads = 2\. Got: 3"),
        ({"activation": "relu"}, r"`activation` must be one of .*\. Got: 'relu'"),
        ({"sliding_window": 4}, r"`sliding_window` must be None, or .*`window_pattern`.*Got: \(4,"),
        ({"sliding_window": 0, "window_pattern": (True,)}, r"`sliding_window` must be None, or"),
        ({"attention_softcap": 0.0}, r"`attention_softcap` must be None or positive\. Got: 0\.0"),
        ({"logit_softcap": -1.0}, r"`logit_softcap` must be None or positive\. Got: -1\.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_decoder_rules(options, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(LLAMA, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theta": 0.0}, r"`rope\.theta` must be positive\. Got: 0\.0"),
        ({"local_theta": -1.0}, r"`rope\.local_theta` must be None or positive\. Got: -1\.0"),
        ({"factor": 0.5}, r"`rope\.factor` must be at least 1\. Got: 0\.5"),
        ({"factor": float("nan")}, r"`rope\.factor` must be at least 1\. Got: nan"),
        ({"scaling": "longrope"}, r"`rope\.scaling` must be one of .*\. Got: 'longrope'"),
        ({"beta_fast": 1.0}, r"`rope\.beta_fast` must be above beta_slow = 1\.0.*\. Got: 1\.0"),
        ({"attention_factor": 0.0}, r"`rope\.attention_factor` must be positive\. Got: 0\.0"),
        ({"rotary_size": 3}, r"`rope\.rotary_size` must be None, or even .*\. Got: 3"),
        ({"scaling": "yarn", "theta": 1.0}, r"`rope\.theta` must be above 1 for yarn\. Got: 1\.0"),
        ({"original_positions": 2**31}, r"`rope\.original_positions` must be within 1 \.\. "),
        ({"high_freq_factor": 1.0}, r"`rope\.high_freq_factor` must be above .*\. Got: 1\.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_rope_rules(options, message):
    with pytest.raises(ConfigError, match=message):
        RopeConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, r"`router\.top_k` must be at least 1\. Got: 0"),
        ({"hidden_size": 0}, r"`router\.hidden_size` must be at least 1\. Got: 0"),
        ({"tau": 1.5}, r"`router\.tau` must be between 0 and 1\. Got: 1\.5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_router_rules(options, message):
    with pytest.raises(ConfigError, match=message):
        RouterConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "twin"}, r"`kind` must be tandem or independent\. Got: 'twin'"),
        (
            {"drafter": dataclasses.replace(LLAMA, vocab_size=18)},
            r"`drafter\.vocab_size` must be at most the primary's, 17\. Got: 18",
        ),
        ({"layer_map": (1,)}, r"`layer_map` must be 2 entries, .*\. Got: \(1,\)"),
        ({"layer_map": (1, 3)}, r"`layer_map` must be within 0 .* 2 .*\. Got: \(1, 3\)"),
        ({"kind": "independent"}, r"`layer_map` must be 0 entries"),
        ({"router": RouterConfig(top_k=18)}, r"`router\.top_k` must be at most the vocabulary, 17"),
    ],
    ids=["kind", "vocabulary", "layer-count", "layer-range", "independent-map", "router-top-k"],
)
def test_pair_rules(options, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TANDEM, **options)


def broken(path: str, value: object) -> dict:
    """The tandem pair as a dict, with one value put in (or, for None, taken out)."""
    values = json.loads(json.dumps(to_dict(TANDEM)))
    *parents, last = path.split(".")
    inner = values
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, r"unknown key 'colour' in `config`; known keys: \['drafter', .*'router'\]"),
        ("primary.depth", 1, r"unknown key 'depth' in `config\.primary`; known keys"),
        ("drafter.rope.base", 1, r"unknown key 'base' in `config\.drafter\.rope`; known keys"),
        ("primary", 3, r"`config\.primary` must be an object of named values\. Got: 3"),
        ("router.tau", 2, r"`router\.tau` must be between 0 and 1\. Got: 2"),
        ("primary.width", "12", r"`width` must be within 1 .* Got: '12'"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_bad_dict_is_refused_with_its_place(path, value, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(broken(path, value))


def test_a_missing_key_is_named():
    values = to_dict(TANDEM)
    del values["drafter"]["width"]
    with pytest.raises(ConfigError, match=r"`config\.drafter`: .*'width'"):
        from_dict(values)


def test_config_errors_are_value_errors_of_the_project():
    assert issubclass(ConfigError, ValueError) and issubclass(ConfigError, TandemError)


def test_layer_map_by_hand():
    assert default_layer_map(6, 2) == (3, 6)
    assert default_layer_map(6, 4) == (1, 3, 4, 6)


@hypothesis.given(st.integers(1, 80), st.data())
def test_default_layer_map_is_even_and_ends_at_the_last_layer(primary_layers, data):
    drafter_layers = data.draw(st.integers(1, primary_layers))
    entries = default_layer_map(primary_layers, drafter_layers)
    gaps = [after - before for before, after in zip((0, *entries), entries, strict=False)]
    assert len(entries) == drafter_layers and entries[-1] == primary_layers
    assert max(gaps) - min(gaps) <= 1


def test_scale_defaults_to_the_head_size():
    assert LLAMA.scale == 0.5
    assert GEMMA3.scale == 0.4


def test_local_layers_follow_the_pattern():
    assert [GEMMA3.is_local(layer) for layer in range(4)] == [True, True, False, True]
    assert [LLAMA.window(layer) for layer in range(2)] == [None, None]
