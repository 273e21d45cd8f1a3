from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.errors import BundleError, ConfigError
from tandem_export.parity import VerifyOptions, verify
from tandem_export.parity.subject import with_random_drafter
from tests.parity.bundles import COMPILED, PROMPTS, shared_bundle

SMALL = VerifyOptions(prompts=4, max_new_tokens=9, samples=400, compilation_cache=COMPILED)


@pytest.mark.parametrize("kind", ["tandem", "independent"])
def test_an_exact_bundle_is_verified(kind) -> None:
    report = verify(shared_bundle(kind), SMALL, prompts=PROMPTS)
    assert report.passed, report
    assert report.parity == "P0"
    levels = [check.level for check in report.checks]
    assert levels == ["P0"] * 7 + ["P2"]
    modes = 2 if kind == "tandem" else 1
    assert [check.cases for check in report.checks] == [4, *[4 * modes] * 6, 400]
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_a_numeric_bundle_is_compared_with_the_primary_at_width_1() -> None:
    report = verify(shared_bundle(lossless="numeric"), SMALL, prompts=PROMPTS)
    assert report.passed, report
    assert {check.level for check in report.checks} == {"P1", "P2"}
    assert all("margin 0.001" in check.claim for check in report.checks[:-1])


@dataclass(frozen=True, kw_only=True)
class OtherPrimary(Bundle):
    def weights(self) -> dict[str, np.ndarray]:
        shift = np.random.default_rng(1).normal(size=12).astype(np.float32)
        return {
            name: tensor + shift if name == "primary.final_norm.weight" else tensor
            for name, tensor in super().weights().items()
        }


@pytest.mark.parametrize("lossless", ["exact", "numeric"])
def test_what_differs_is_found(monkeypatch, lossless) -> None:
    """The second subject has another primary: its text differs, by more than a near-tie."""

    def other(bundle: Bundle) -> Bundle:
        assert any(name == "primary.final_norm.weight" for name in bundle.weights())
        return OtherPrimary(path=bundle.path, manifest=bundle.manifest)

    monkeypatch.setattr("tandem_export.parity.verification.with_random_drafter", other)
    options = dataclasses.replace(SMALL, samples=0)
    report = verify(shared_bundle(lossless=lossless), options, prompts=PROMPTS)
    failed = {check.claim for check in report.checks if not check.passed}
    assert failed == {check.claim for check in report.checks if "random drafter" in check.claim}
    worst = max(d.margin or 0 for check in report.checks for d in check.divergences)
    assert worst > 1e-3


def test_a_random_drafter_changes_nothing_else() -> None:
    bundle = open_bundle(shared_bundle())
    own, other = bundle.weights(), with_random_drafter(bundle).weights()
    assert own.keys() == other.keys()
    changed = {name for name in own if not np.array_equal(own[name], other[name])}
    assert changed == {name for name in own if name.startswith("drafter.")}
    assert all(own[name].dtype == other[name].dtype for name in own)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch": (3,)}, "`batch` must be from the bundle's buckets [2]. Got: 3"),
        ({"gamma": (7,)}, "`gamma` must be from the bundle's buckets [2]. Got: 7"),
    ],
    ids=["batch", "gamma"],
)
def test_unknown_buckets(options, text) -> None:
    with pytest.raises(ConfigError) as raised:
        verify(shared_bundle(), VerifyOptions(**options), prompts=PROMPTS)
    assert text in str(raised.value)


def test_options_are_checked(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"`samples` must be at least 0. Got: -1"):
        VerifyOptions(samples=-1)
    with pytest.raises(BundleError, match="is not a bundle"):
        verify(tmp_path)


def test_a_peaked_model_is_verified_by_the_rest() -> None:
    """Its distribution has no two bins; what P0 found counts all the same."""
    report = verify(shared_bundle("peaked"), SMALL, prompts=PROMPTS)
    *others, last = report.checks
    assert last.level == "P2" and last.passed is None and last.detail.startswith("not tested: the")
    assert "needs two bins" in last.detail
    assert report.passed and all(check.passed for check in others)
    failed = dataclasses.replace(
        report, checks=(dataclasses.replace(others[0], passed=False), last)
    )
    assert not failed.passed
