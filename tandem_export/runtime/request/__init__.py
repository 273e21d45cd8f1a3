"""Describes a request: parameters, admission, answer, statistics, text."""
