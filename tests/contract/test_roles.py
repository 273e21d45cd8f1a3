from __future__ import annotations

import pytest

from tandem_export.contract import ROLES, Role, graph_name, is_round, signature_role


@pytest.mark.parametrize(
    ("role", "gamma", "width", "name"),
    [
        ("round", 5, 6, "round_b4_g5"),
        ("round_router", 5, 6, "round_router_b4_g5"),
        ("generate", 5, 64, "generate_b4_s64"),
        ("primary_block", None, 6, "primary_block_b4_t6"),
        ("insert", None, None, "insert_b4"),
    ],
)
def test_a_graph_is_named_by_role_and_bucket(
    role: Role, gamma: int | None, width: int | None, name: str
) -> None:
    assert graph_name(role, 4, gamma=gamma, width=width) == name
    assert signature_role(name) == role


def test_a_name_of_no_graph_has_no_role() -> None:
    assert signature_role("claim") is None and signature_role("roundabout_b1") is None
    assert signature_role("insert") == "insert"


def test_rounds_are_two_of_the_roles() -> None:
    assert [role for role in ROLES if is_round(role)] == ["round", "round_router"]
