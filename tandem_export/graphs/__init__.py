"""Defines pure step functions with static shapes, and which graphs a build traces from them."""

from tandem_export.graphs.catalogue import plan_graphs, plan_rows
from tandem_export.graphs.graph import Arrays, Graph, Shapes
from tandem_export.graphs.left_out import LeftOut, left_out
from tandem_export.graphs.options import AttentionForm, BuildOptions, Parity
from tandem_export.graphs.roles import MAX_STOP_TOKENS
from tandem_export.graphs.shapes import param_shapes, state_shapes

__all__ = [
    "MAX_STOP_TOKENS",
    "Arrays",
    "AttentionForm",
    "BuildOptions",
    "Graph",
    "LeftOut",
    "Parity",
    "Shapes",
    "left_out",
    "param_shapes",
    "plan_graphs",
    "plan_rows",
    "state_shapes",
]
