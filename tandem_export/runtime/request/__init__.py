"""Describes a request: parameters, admission, answer, statistics, text."""

from tandem_export.runtime.request.admission import round_kind

__all__ = [
    "round_kind",
]
