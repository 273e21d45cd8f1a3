"""Names the roles that a graph can have, and a graph by its role and bucket."""

from __future__ import annotations

from typing import Literal, TypeGuard, get_args

from tandem_export.contract.state import Register

Role = Literal[
    "prefill",
    "insert",
    "primary_block",
    "drafter_step",
    "router",
    "round",
    "round_router",
    "generate",
]
ROLES: tuple[Role, ...] = get_args(Role)
RoundRole = Literal["round", "round_router"]
# A round is draft, verification and acceptance in one graph.
ROUND_ROLES: tuple[RoundRole, ...] = get_args(RoundRole)
# The single steps, from which a host can put rounds together; ONNX graphs are these.
STEP_ROLES: tuple[Role, ...] = ("prefill", "primary_block", "drafter_step", "router")
# Their results depend on their inputs alone: nothing stays in caches or registers.
STATELESS_ROLES: tuple[Role, ...] = ("router", "generate")


def is_round(role: str) -> TypeGuard[RoundRole]:
    """Returns whether a graph of this role runs whole rounds."""
    return role in ROUND_ROLES


def position_name(role: str) -> str | None:
    """Returns the input or register that holds, row by row, the first cache position of a block.

    What a row may see of its cache lies before it. None is a role that attends to no cache.
    """
    if is_round(role):
        return Register.POSITION.value
    return "start" if role in STEP_ROLES and role not in STATELESS_ROLES else None


def graph_name(
    role: Role, batch: int, *, gamma: int | None = None, width: int | None = None
) -> str:
    """Returns the name of a graph, unique in a bundle.

    Rounds are named by their gamma, `generate` by its prompt length, blocks by their width:

        round_b4_g5   generate_b1_s64   primary_block_b1_t6   insert_b4
    """
    if is_round(role):
        return f"{role}_b{batch}_g{gamma}"
    if role == "generate":
        return f"{role}_b{batch}_s{width}"
    return f"{role}_b{batch}" + ("" if width is None else f"_t{width}")


def signature_role(name: str) -> Role | None:
    """Returns the role of the graph that is called `name`, None if it is the name of no graph."""
    stem, mark, _ = name.rpartition("_b")
    role = stem if mark else name
    return next((known for known in ROLES if known == role), None)
