"""Computes what rounds draw and compare: counter-based noise, sampling distributions.

`tandem_export/runtime/reference` is the twin in plain numpy; tests compare the two.
"""
