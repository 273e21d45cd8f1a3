"""Says how a client waits, repeats and trusts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tandem_export.errors import ConfigError
from tandem_export.values import is_real, is_whole

# A day; sockets take no more than some hundred years. The last retry waits 2 ** retries backoffs.
_LONGEST, _MOST_RETRIES = 86_400, 20


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """How a client waits, repeats and trusts.

    Attributes:
      deadline: seconds that a call may take. The first call of a signature compiles it.
      retries: how often a call that is safe to repeat is sent again when no answer came.
      backoff: seconds before the first retry; doubled for each further one.
      root_certificates: PEM file, for `grpcs` and `https`; None trusts the system's.
      private_key, certificate: PEM files of the client, for servers that ask for one.
    """

    deadline: float = 120.0
    retries: int = 3
    backoff: float = 0.1
    root_certificates: str | Path | None = None
    private_key: str | Path | None = None
    certificate: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("deadline", "backoff"):
            seconds = getattr(self, name)
            if not is_real(seconds, 0, _LONGEST) or seconds == 0:
                rule = f"must be above 0, at most {_LONGEST} seconds"
                raise ConfigError(f"`{name}` {rule}. Got: {seconds!r}")
        if not is_whole(self.retries, 0, _MOST_RETRIES):
            rule = f"must be at least 0, at most {_MOST_RETRIES}"
            raise ConfigError(f"`retries` {rule}. Got: {self.retries!r}")
        if (self.private_key is None) != (self.certificate is None):
            got = {"private_key": self.private_key, "certificate": self.certificate}
            raise ConfigError(f"`private_key` and `certificate` must come together. Got: {got}")
        for name in ("root_certificates", "private_key", "certificate"):
            path = getattr(self, name)
            if path is not None and not (isinstance(path, str | Path) and os.path.isfile(path)):
                raise ConfigError(f"`{name}` must be a PEM file. Got: {str(path)!r}, no such file")
