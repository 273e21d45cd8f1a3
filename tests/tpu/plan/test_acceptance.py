"""Expected tokens of a round, from a rate and from measured profiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tandem_export.errors import ConfigError
from tandem_export.tpu.plan import Acceptance, from_rate, read_acceptance


def test_one_rate_is_the_geometric_sum() -> None:
    """Leviathan et al. 2023, equation 1: 1 + 1/2 + 1/4."""
    assert from_rate(0.5).tokens(2) == 1.75
    assert from_rate(0.5).tokens(0) == 1.0
    assert from_rate(1.0).tokens(7) == 8.0


def test_a_profile_goes_on_geometrically() -> None:
    measured = Acceptance(reached=(0.8, 0.64), tail=0.5, source="test")
    assert measured.tokens(2) == pytest.approx(2.44)
    assert measured.tokens(4) == pytest.approx(2.44 + 0.32 + 0.16)


def test_bench_files_give_the_longest_speed_profile(tmp_path: Path) -> None:
    lines = [
        {"family": "router", "acceptance_at": [0.1] * 9},
        {"family": "speed", "acceptance_at": [0.9]},
        {"family": "speed", "acceptance_at": [0.81, 0.49]},
    ]
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"tables": [{"lines": lines}]}))
    found = read_acceptance(str(file))
    assert found.reached == (0.81, 0.49) and found.tail == pytest.approx(0.7)
    assert found.source == "measured, bench.json"


@pytest.mark.parametrize(
    "text", ["1.5", "nowhere.json", "-0.1"], ids=["above-one", "no-file", "negative"]
)
def test_bad_acceptance_says_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="Got: "):
        read_acceptance(text)


def test_a_rising_profile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"acceptance_at": [0.5, 0.6]}))
    with pytest.raises(ConfigError, match="do not rise with the place"):
        read_acceptance(str(file))
