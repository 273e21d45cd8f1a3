"""Defines one SPEED round as one graph: draft, verify, accept, advance."""

from tandem_export.graphs.round.round import RoundOutputs, round_graph, speed_round

__all__ = ["RoundOutputs", "round_graph", "speed_round"]
