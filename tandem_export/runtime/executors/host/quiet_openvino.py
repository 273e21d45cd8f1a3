"""`openvino`, imported without its telemetry.

Its import reports the use over the network, from a process that it forks. Without the package that
does so it has a stub, which does nothing.
"""

from __future__ import annotations

import sys

_TELEMETRY = "openvino_telemetry"
_before = sys.modules.get(_TELEMETRY)
sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # what makes an import fail
try:
    import openvino
finally:
    del sys.modules[_TELEMETRY]
    if _before is not None:
        sys.modules[_TELEMETRY] = _before

__all__ = ["openvino"]
