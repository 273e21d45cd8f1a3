"""Names the types of what JSON holds."""

from __future__ import annotations

from typing import Any

# What the standard library's reader returns. A schema, or whoever reads a value, checks it.
Json = Any
JsonObject = dict[str, Json]
