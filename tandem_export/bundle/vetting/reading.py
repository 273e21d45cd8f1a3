"""Reads numbers and pieces from bytes that nobody vouches for."""

from __future__ import annotations

from tandem_export.errors import BundleError


class Malformed(BundleError):
    """The bytes are not what a reader takes, or do what they may not; the text says which."""


class Reader:
    """Reads forward through `data[at:end]`, and never past `end`.

    Attributes:
      at: the next byte.
      end: the first byte that is not read.
    """

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes come."""
        return self.end - self.at

    def take(self, count: int) -> bytes:
        """Returns the next `count` bytes."""
        start = self.skip(count)
        return self.data[start : self.at]

    def skip(self, count: int) -> int:
        """Moves `count` bytes on, and returns where it stood."""
        if count > self.left:
            raise Malformed(f"{count} bytes must follow byte {self.at}. Got: {self.left}")
        start, self.at = self.at, self.at + count
        return start

    def part(self, count: int) -> Reader:
        """Returns a reader of the next `count` bytes, and moves past them."""
        start = self.skip(count)
        return Reader(self.data, start, self.at)

    def byte(self) -> int:
        """Returns the next byte as a number."""
        return self.data[self.skip(1)]

    def finish(self) -> None:
        """Checks that everything was read."""
        if self.left:
            raise Malformed(f"{self.left} bytes too many at byte {self.at}")
