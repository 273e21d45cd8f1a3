"""The rotary settings of a `config.json`, in both ways that they are written, as a `RopeConfig`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from tandem_export.config import LARGEST, RopeConfig
from tandem_export.errors import CheckpointError
from tandem_export.importing.families import Family
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import Fields

_MOST = 1e30


def rope_config(values: Fields, kind: Family, head_size: int) -> RopeConfig:
    """Returns the settings of `rope_parameters`, or of the older `rope_theta` and `rope_scaling`.

    Raises:
      CheckpointError: a scaling that is not computed here, or a setting that it lacks.
    """
    scaling = values.object("rope_scaling") or values.object("rope_parameters")
    scaling = scaling or dataclasses.replace(values, values={}, defaults={})
    local_theta = values.number("rope_local_base_freq", 0, _MOST)
    far = scaling.object("full_attention")
    if far is not None:  # one set for each kind of layer (Gemma 3)
        near = scaling.object("sliding_attention")
        if near is not None:
            choose(near, "rope_type", near.text("rope_type") or "default", ("default",))
            local_theta = _first(near.number("rope_theta", 0, _MOST), local_theta)
        scaling = far
    thetas = (each.number("rope_theta", 0, _MOST) for each in (scaling, values))
    plain = RopeConfig(
        theta=_first(*thetas, 10_000.0),
        local_theta=local_theta,
        rotary_size=_rotary_size(values, scaling, head_size),
    )
    name = "rope_type" if scaling.text("rope_type") is not None else "type"
    rule = choose(scaling, name, scaling.text(name) or "default", kind.scalings)
    return dataclasses.replace(plain, **_scaled(rule, values, scaling))


def choose(values: Fields, name: str, value: str, allowed: Iterable[str]) -> str:
    """Returns `value`, which came from the setting `name`.

    Raises:
      CheckpointError: it is not among `allowed`.
    """
    known = list(allowed)
    if value not in known:
        raise CheckpointError(f"`{values.prefix}{name}` must be one of {known}. Got: {value!r}")
    return value


def _first(*values: float | None) -> Json:
    """Returns the first value that is there."""
    return next((value for value in values if value is not None), None)


def _rotary_size(values: Fields, scaling: Fields, head_size: int) -> int | None:
    """Returns how many values of a head are rotated; None is all."""
    shares = (each.number("partial_rotary_factor", 0, 1) for each in (scaling, values))
    size = int(head_size * _first(*shares, 1.0))
    return None if size == head_size else size


def _scaled(rule: str, values: Fields, scaling: Fields) -> JsonObject:
    """Returns the fields that a scaling has of its own."""
    if rule == "default":
        return {}
    if rule == "yarn":
        return {"scaling": rule, **_yarn(values, scaling)}
    settings: JsonObject = {"scaling": rule, "factor": _needed(scaling, "factor")}
    if rule == "llama3":
        settings |= {n: _needed(scaling, n) for n in ("low_freq_factor", "high_freq_factor")}
        settings["original_positions"] = _original(values, scaling)
    if rule == "dynamic":  # `transformers` stretches from here whatever else is said
        settings["original_positions"] = _positions(values)
    return settings


def _needed(scaling: Fields, name: str) -> float:
    return scaling.require(name, scaling.number(name, 0, _MOST))


def _positions(values: Fields) -> int:
    name = "max_position_embeddings"
    return values.require(name, values.integer(name, 1, LARGEST))


def _original(values: Fields, scaling: Fields) -> int:
    """Returns the positions of the first training; without them, all positions."""
    name = "original_max_position_embeddings"
    outer = values.integer(name, 1, LARGEST)
    return outer or scaling.integer(name, 1, LARGEST) or _positions(values)


def _yarn(values: Fields, scaling: Fields) -> JsonObject:
    original = _original(values, scaling)
    factor = scaling.number("factor", 0, _MOST)
    factor = _positions(values) / original if factor is None else factor
    truncate = scaling.flag("truncate")
    return {
        "factor": factor,
        "original_positions": original,
        "beta_fast": scaling.number("beta_fast", 0, _MOST) or 32.0,
        "beta_slow": scaling.number("beta_slow", 0, _MOST) or 1.0,
        "round_band": True if truncate is None else truncate,
        "attention_factor": _attention_factor(scaling, factor),
    }


def _attention_factor(scaling: Fields, factor: float) -> float:
    """Returns the temperature of YaRN (arXiv 2309.00071, section 3.3); DeepSeek's has two parts."""
    given = scaling.number("attention_factor", 0, _MOST)
    if given is not None:
        return given
    both = [scaling.number(name, 0, _MOST) for name in ("mscale", "mscale_all_dim")]
    above, below = (1 + 0.1 * (part or 0.0) * math.log(max(factor, 1.0)) for part in both)
    return above / below if all(both) else 1 + 0.1 * math.log(max(factor, 1.0))
