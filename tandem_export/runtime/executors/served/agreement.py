"""Whether a served model is the bundle's, and whether its answers can be followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.contract import REGISTERS, STATELESS_ROLES
from tandem_export.errors import ServingError
from tandem_export.serving import Field, Model

Fields = Mapping[str, Field]
_ONE = Field((1,), "int32")
_EPOCH = {"epoch": Field((), "int32")}
_REGISTERS = dict.fromkeys(("target", *REGISTERS), _ONE)


def check_served(model: Model, names: Sequence[str], graphs: Iterable[GraphRecord]) -> None:
    """Checks that the model has the signatures `names`, and that they do what `graphs` do.

    Raises:
      ServingError: one is missing, or lacks an input or output of its graph.
    """
    missing = sorted(set(names) - set(model.signatures))
    if missing:
        rule = "the served model must have every signature of the bundle"
        raise ServingError(
            f"{rule}; is it another bundle's, or an older version? Got: none of {missing}"
        )
    for name, (inputs, outputs) in _expected(graphs).items():
        signature = model.signatures.get(name)
        if signature is None:
            raise ServingError(f"the served model must have the signature {name!r}. Got: none")
        for fields, have in ((inputs, signature.inputs), (outputs, signature.outputs)):
            odd = sorted(n for n, field in fields.items() if have.get(n) != field)
            if odd:
                rule = f"{name}: {odd[0]!r} must be {fields[odd[0]]} as in the bundle"
                raise ServingError(f"{rule}; is it another bundle's? Got: {have.get(odd[0])}")


def _expected(graphs: Iterable[GraphRecord]) -> dict[str, tuple[Fields, Fields]]:
    """Returns signature -> what has to be among its inputs and outputs."""
    wanted: dict[str, tuple[Fields, Fields]] = {}
    for graph in graphs:
        outputs = _fields(graph.outputs)
        if graph.role == "insert":
            session = {"slots": _ONE, "owner": _ONE, **_REGISTERS}
            wanted["insert"] = (session, _EPOCH)
            wanted["claim"] = ({"owner": _ONE}, {"slots": _ONE, **_EPOCH})
            wanted["release"] = ({"owner": _ONE}, _EPOCH)
        elif graph.role in STATELESS_ROLES:
            wanted[graph.name] = (_fields(graph.inputs), outputs)
        else:
            session = {"slots": Field((graph.batch,), "int32"), "owner": _ONE}
            wanted[graph.name] = (_fields(graph.inputs) | session, outputs | _EPOCH)
    return wanted


def _fields(specs: Sequence[TensorSpec]) -> dict[str, Field]:
    return {spec.name: Field(spec.shape, spec.dtype) for spec in specs}


def check_round(name: str, answer: Mapping[str, np.ndarray]) -> None:
    """Checks that a round's counts lie in its block, and its tokens are ids.

    Raises:
      ServingError: they do not.
    """
    tokens, width = answer["tokens"], answer["tokens"].shape[1]
    for count in ("count", "drafted"):
        if ((answer[count] < 0) | (answer[count] > width)).any():
            rule = f"{name}: `{count}` of the answer must be within 0 .. {width}"
            raise ServingError(f"{rule}. Got: {answer[count].tolist()}")
    said = tokens[np.arange(width) < answer["count"][:, None]]
    if (said < 0).any():
        raise ServingError(f"{name}: `tokens` of the answer must be ids. Got: {said.min()}")
