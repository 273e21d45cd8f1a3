"""The signatures of a SavedModel: one for every graph, and those that hand out slots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tandem_export.bundle.vetting import signature_of
from tandem_export.contract import STATELESS_ROLES, is_round
from tandem_export.errors import ConfigError
from tandem_export.graphs import Arrays, Graph
from tandem_export.targets.savedmodel.session import preconditions as rules
from tandem_export.targets.savedmodel.session.claiming import claim, insert, release
from tandem_export.targets.savedmodel.session.method import Method, ints
from tandem_export.targets.savedmodel.session.pool import Pool, run_on_slots


def plan_methods(graphs: Sequence[Graph], pool: Pool) -> list[Method]:
    """Returns a method for every graph, and those that hand out slots if there are session graphs.

    Raises:
      ConfigError: steps with state are asked for without `insert`.
    """
    roles = {graph.role for graph in graphs}
    if "insert" not in roles and roles - set(STATELESS_ROLES):
        rule = "`roles` must have 'insert' for sessions in a SavedModel"
        raise ConfigError(f"{rule}. Got: {sorted(roles)}")
    methods = [_of_graph(graph, pool) for graph in _once(graphs)]
    sessions = any(method.state for method in methods)
    return [*methods, claim(pool), release(pool)] if sessions else methods


def _once(graphs: Sequence[Graph]) -> list[Graph]:
    return list({signature_of(graph.name, graph.role): graph for graph in graphs}.values())


def _of_graph(graph: Graph, pool: Pool) -> Method:
    if graph.role in STATELESS_ROLES:
        return _stateless(graph, pool)
    if graph.role == "insert":
        return insert(graph, pool)
    addressed = {"slots": ints(graph.batch), "owner": ints(1)}
    needed = {*graph.state, "owner", "epoch"}
    return Method(
        name=graph.name,
        params=tuple(graph.params),
        state=tuple(sorted(needed)),
        inputs=graph.inputs | addressed,
        rules=partial(_step_rules, graph, pool),
        run=partial(run_on_slots, graph, pool),
        scratch=pool.scratch,
    )


def _step_rules(
    graph: Graph, pool: Pool, state: Arrays, inputs: Arrays
) -> list[rules.Precondition]:
    step_rules = (
        rules.round_rules(graph, pool, state, inputs)
        if is_round(graph.role)
        else rules.block_rules(graph, pool, inputs)
    )
    return [*rules.slot_rules(pool, state, inputs["slots"], inputs["owner"]), *step_rules]


def _stateless(graph: Graph, pool: Pool) -> Method:
    def own_rules(state: Arrays, inputs: Arrays) -> list[rules.Precondition]:
        del state
        if graph.role == "router":
            return []  # any logits are good
        return rules.generate_rules(graph, pool, inputs)

    return Method(
        name=graph.name,
        params=tuple(graph.params),
        state=(),
        inputs=graph.inputs,
        rules=own_rules,
        run=graph.function,
        scratch=pool.scratch,
    )
