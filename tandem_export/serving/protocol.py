"""What the SavedModel's signatures and their callers agree on: names, refusals, failures.

Numpy only. `docs/how-to/tf-serving.md` lists every signature with its inputs and outputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from tandem_export.contract import SAMPLING_INPUTS, STATELESS_ROLES, signature_role
from tandem_export.errors import RequestError, ServingError

DEFAULT_SIGNATURE = "serving_default"
CLAIM, RELEASE = "claim", "release"  # the signatures that hand out slots, and free them
# A refused call answers INVALID_ARGUMENT with the rule, after this mark.
_MARK = "tandem-export: "
# The one refusal that a session recovers from: the server restarted, or somebody freed the slot.
NOT_HELD = "`slots` must be held by `owner`; claim slots first, and again after a server restart"
NO_FREE_SLOT = "a slot must be free; release one, or build with more slots"
# Signatures take and give these. A prompt is small; logits of a primary block are not.
DTYPES, MOST_VALUES = ("float32", "int32", "uint32"), 2**26


class NotHeld(RequestError):
    """A session call named a slot that its owner does not hold (any more)."""


class Interrupted(ServingError):
    """No answer came: the call may have run or not."""


class Field(NamedTuple):
    """Shape and dtype (numpy's name) of one input or output."""

    shape: tuple[int, ...]
    dtype: str


class Signature(NamedTuple):
    """Inputs and outputs of a signature by name."""

    inputs: dict[str, Field]
    outputs: dict[str, Field]


class Model(Protocol):
    """A served model: in this process, or behind a client."""

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """By name."""
        ...

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature.

        Raises:
          RequestError: an unknown signature, inputs that do not fit it or break one of its rules;
            no slot has changed. `NotHeld` if the rule is that of the slots' owner.
          Interrupted: no answer came.
          ServingError: the server cannot serve the model.
        """
        ...

    def close(self) -> None:
        """Gives up the connection or the session."""
        ...


def is_repeatable(signature: str) -> bool:
    """Returns whether a call that got no answer may simply be sent again.

    It changes nothing in the server, or the same however often it runs.
    """
    stateless = signature_role(signature) in STATELESS_ROLES
    return stateless or signature in (RELEASE, DEFAULT_SIGNATURE)


def refusal(rule: str) -> str:
    """Returns the fixed beginning of the error text of a broken rule."""
    return f"{_MARK}{rule}. Got: "


def refused(signature: str, error: str) -> RequestError | None:
    """Returns the exception of a refused call, from an engine's error text; None for other errors.

    TensorFlow wraps the text: `assertion failed: [tandem-export: RULE. Got: 9 (row 0)]`.
    """
    found = re.search(re.escape(_MARK) + r"(.*?\(row \d+\))", error, re.DOTALL)
    if found is None:
        return None
    held = found[1].replace("`target`", "`slots`", 1).startswith(NOT_HELD)
    return (NotHeld if held else RequestError)(f"{signature}: {found[1]}")


def check_call(
    model: Mapping[str, Signature], signature: str, inputs: Mapping[str, np.ndarray]
) -> Signature:
    """Returns the signature of a call whose inputs have its names, shapes and dtypes.

    Raises:
      RequestError: the first difference.
    """
    if signature not in model:
        rule = "the served model must have the signature that is called"
        raise RequestError(f"{rule}, one of {sorted(model)}. Got: {signature!r}")
    definition = model[signature]
    if set(inputs) != set(definition.inputs):
        rule = f"the inputs must be {sorted(definition.inputs)}"
        raise RequestError(f"{signature}: {rule}. Got: {sorted(inputs)}")
    for name, field in definition.inputs.items():
        got = Field(inputs[name].shape, inputs[name].dtype.name)
        if got != field:
            rule = f"`{name}` must be {field.dtype}{list(field.shape)}"
            raise RequestError(f"{signature}: {rule}. Got: {got.dtype}{list(got.shape)}")
    return definition


def check_signatures(signatures: dict[str, Signature]) -> dict[str, Signature]:
    """Returns the signatures of a served model, once each has known sizes and data types.

    Raises:
      ServingError: a tensor has another data type than signatures have, or no fixed shape of at
        most `MOST_VALUES` values.
    """
    for name, definition in signatures.items():
        for tensor, field in (*definition.inputs.items(), *definition.outputs.items()):
            sized = min(field.shape, default=0) >= 0 and math.prod(field.shape) <= MOST_VALUES
            if field.dtype not in DTYPES or not sized:
                rule = f"must be one of {list(DTYPES)} with at most {MOST_VALUES} values"
                got = f"{field.dtype}{list(field.shape)}; is it another model?"
                raise ServingError(f"{name}: the tensor {tensor!r} {rule}. Got: {got}")
    return signatures


def check_answer(
    signature: str, definition: Signature, outputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the outputs of a call in the dtypes of its signature.

    Raises:
      ServingError: other names or shapes than the signature's, or values that its dtypes cannot
        hold.
    """
    if set(outputs) != set(definition.outputs):
        rule = f"the answer must have the outputs {sorted(definition.outputs)}"
        raise ServingError(f"{signature}: {rule}. Got: {sorted(outputs)}")
    return {
        name: _cast(signature, name, outputs[name], definition.outputs[name])
        for name in definition.outputs
    }


def _cast(signature: str, name: str, values: np.ndarray, field: Field) -> np.ndarray:
    good = values.shape == field.shape
    if good and values.dtype.name == field.dtype:
        return values
    is_integer = field.dtype != "float32"
    if good and values.size:
        good = values.dtype.kind in ("iu" if is_integer else "iuf")
    if good and values.size and is_integer:
        limits = np.iinfo(field.dtype)
        good = limits.min <= values.min() and values.max() <= limits.max
    if not good:
        rule = f"`{name}` of the answer must be {field.dtype}{list(field.shape)}"
        got = f"{values.dtype}{list(values.shape)}, or values outside of that type"
        raise ServingError(f"{signature}: {rule}. Got: {got}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        return values.astype(field.dtype)


def warmup_inputs(inputs: Mapping[str, Any], scratch: int) -> dict[str, np.ndarray]:
    """Returns values that a signature accepts and that change no slot but the scratch one.

    Args:
      inputs: what has `shape` and `dtype`, by name.
      scratch: that slot.
    """
    zeros = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in inputs.items()}
    fixed: dict[str, float] = {name: row.idle for name, row in SAMPLING_INPUTS.items()}
    fixed |= {"slots": scratch, "target": scratch, "owner": 1}
    fixed |= {"length": 1, "max_new_tokens": 2, "stop_tokens": -1}
    return {name: np.full_like(a, fixed[name]) if name in fixed else a for name, a in zeros.items()}
