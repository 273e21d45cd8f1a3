from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.errors import ServingError
from tandem_export.runtime.executors.served.agreement import check_round, check_served
from tandem_export.serving import Field, Signature

EPOCH = Field((), "int32")
OWNED = {"slots": Field((2,), "int32"), "owner": Field((1,), "int32")}


def graph(role: str, inputs: dict[str, Field], outputs: dict[str, Field]) -> GraphRecord:
    def specs(fields: dict[str, Field]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name=n, shape=f.shape, dtype=f.dtype) for n, f in fields.items())

    return GraphRecord(
        name=f"{role}_b2",
        role=role,
        batch=2,
        gamma=None,
        width=1,
        parity="P0",
        params=(),
        state=(),
        inputs=specs(inputs),
        outputs=specs(outputs),
        difference=None,
    )


BLOCK = graph("primary_block", {"start": OWNED["slots"]}, {"logits": Field((2, 17), "float32")})
GOOD = Signature(
    {"start": OWNED["slots"], **OWNED}, {"logits": Field((2, 17), "float32"), "epoch": EPOCH}
)


def served(**signatures: Signature) -> Any:
    return SimpleNamespace(signatures=signatures)


def test_the_bundles_own_model_passes() -> None:
    check_served(served(primary_block_b2=GOOD), ["primary_block_b2"], [BLOCK])


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        (
            Signature(GOOD.inputs, {"epoch": EPOCH}),
            "'logits' must be .* as in the bundle.* Got: None",
        ),
        (Signature(GOOD.inputs, GOOD.outputs | {"logits": Field((2, 9), "float32")}), "'logits'"),
        (Signature(OWNED, GOOD.outputs), "'start' must be"),
        (Signature(GOOD.inputs, {"logits": GOOD.outputs["logits"]}), "'epoch' must be"),
    ],
    ids=["no-output", "shape", "no-input", "no-epoch"],
)
def test_another_signature_is_named(signature: Signature, text: str) -> None:
    with pytest.raises(ServingError, match=f"^primary_block_b2: {text}"):
        check_served(served(primary_block_b2=signature), ["primary_block_b2"], [BLOCK])


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ServingError, match=r"Got: none of \['round_b2'\]"):
        check_served(served(primary_block_b2=GOOD), ["primary_block_b2", "round_b2"], [BLOCK])
    with pytest.raises(ServingError, match="must have the signature 'claim'"):
        insert = Signature(
            dict.fromkeys(
                ("slots", "owner", "target", "position", "last", "previous", "budget"),
                Field((1,), "int32"),
            ),
            {"epoch": EPOCH},
        )
        check_served(served(insert=insert), [], [graph("insert", {}, {})])


def answer(**changes: Any) -> dict[str, np.ndarray]:
    values = {"tokens": [[3, 4, -1], [-1, -1, -1]], "count": [2, 0], "drafted": [2, 0]} | changes
    return {name: np.array(value, np.int32) for name, value in values.items()}


def test_tokens_after_the_count_do_not_matter() -> None:
    check_round("round_b2_g2", answer())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"count": [4, 0]}, r"`count` of the answer must be within 0 .. 3. Got: \[4, 0\]"),
        ({"drafted": [0, -1]}, r"`drafted` of the answer must be within 0 .. 3. Got: \[0, -1\]"),
        ({"count": [3, 0]}, "`tokens` of the answer must be ids. Got: -1"),
    ],
    ids=["count", "drafted", "tokens"],
)
def test_a_round_that_cannot_be_followed(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ServingError, match=f"^round_b2_g2: {text}"):
        check_round("round_b2_g2", answer(**changes))
