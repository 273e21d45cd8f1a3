"""Writes graphs as StableHLO modules."""
