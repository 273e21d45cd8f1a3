"""Measures whole processes: start, first call, memory."""
