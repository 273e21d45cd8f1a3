"""Which calls a client repeats, over a wire that loses answers."""

from __future__ import annotations

import pytest

from tandem_export.serving import Client, ClientOptions, Interrupted, Signature

NAMES = ("generate_b1_s4", "router_b1", "release", "claim", "insert", "round_b1_g3")
OPTIONS = ClientOptions(retries=2, backoff=0.001)


class Lossy:
    """A wire that loses the first answers to every signature."""

    def __init__(self, losses: int) -> None:
        self.losses, self.sent = losses, []

    def read_signatures(self) -> dict[str, Signature]:
        return {name: Signature({}, {}) for name in NAMES}

    def send(self, signature, definition, inputs):
        del definition, inputs
        self.sent.append(signature)
        if self.sent.count(signature) <= self.losses:
            raise Interrupted("lost")
        return {}

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("signature", NAMES[:3])
def test_a_call_that_is_safe_to_repeat_is_repeated(signature) -> None:
    wire = Lossy(2)
    assert Client(wire, OPTIONS).call(signature, {}) == {}
    assert wire.sent == [signature] * 3


@pytest.mark.parametrize("signature", NAMES[:3])
def test_patience_ends(signature) -> None:
    wire = Lossy(3)
    with pytest.raises(Interrupted):
        Client(wire, OPTIONS).call(signature, {})
    assert wire.sent == [signature] * 3


@pytest.mark.parametrize("signature", NAMES[3:])
def test_a_call_that_changes_a_session_is_sent_once(signature) -> None:
    wire = Lossy(1)
    with pytest.raises(Interrupted):
        Client(wire, OPTIONS).call(signature, {})
    assert wire.sent == [signature]
