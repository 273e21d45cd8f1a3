"""Exports a trained Tandem Transformer to bundles, and runs them with the SPEED loop.

Names load on first use (PEP 562): the import itself brings in no execution engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem_export import errors
    from tandem_export.runtime import (
        AsyncEngine,
        Delta,
        Engine,
        Request,
        Result,
        SamplingParams,
        load,
    )

    __version__: str

_MODULES = {
    "AsyncEngine": "tandem_export.runtime",
    "Delta": "tandem_export.runtime",
    "Engine": "tandem_export.runtime",
    "Request": "tandem_export.runtime",
    "Result": "tandem_export.runtime",
    "SamplingParams": "tandem_export.runtime",
    "load": "tandem_export.runtime",
}

__all__ = [
    "AsyncEngine",
    "Delta",
    "Engine",
    "Request",
    "Result",
    "SamplingParams",
    "__version__",
    "errors",
    "load",
]


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("tandem-export")
    except metadata.PackageNotFoundError:
        return "0+source"  # run from a source tree, not installed


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "errors":
        return importlib.import_module("tandem_export.errors")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
