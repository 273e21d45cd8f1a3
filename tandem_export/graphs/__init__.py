"""Pure step functions with static shapes, and the plan of which to build."""

from tandem_export.graphs.plan import (
    MAX_STOP_TOKENS,
    param_shapes,
    plan_graphs,
    plan_rows,
    state_shapes,
)
from tandem_export.graphs.spec import ROLES, BuildOptions, Graph, Role

__all__ = [
    "MAX_STOP_TOKENS",
    "ROLES",
    "BuildOptions",
    "Graph",
    "Role",
    "param_shapes",
    "plan_graphs",
    "plan_rows",
    "state_shapes",
]
