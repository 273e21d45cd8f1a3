"""Defines the answer that is an error, which the server raises and both wires send."""

from __future__ import annotations


class Refusal(Exception):
    """An answer that is an error: gRPC's status name, and the text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
