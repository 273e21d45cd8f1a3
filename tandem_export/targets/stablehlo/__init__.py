"""Writes graphs as StableHLO modules."""

from tandem_export.targets.stablehlo.mesh import abstract_mesh, placement

__all__ = [
    "abstract_mesh",
    "placement",
]
