"""Typed access to metadata: each value has the kind and the range that its reader expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tandem_export.errors import TandemError
from tandem_export.jsontypes import Json

_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Key -> value, as `read_gguf_header` gives them.

    Each method returns the value under a key, its default, or None; a value of another kind or
    outside its range is an error of the class `error` that names the key.

    Attributes:
      prefix: goes before every key.
      defaults: key without its prefix -> the value where the file has none.
    """

    values: Mapping[str, Json]
    error: type[TandemError]
    prefix: str = ""
    defaults: Mapping[str, Json] = field(default_factory=dict)

    def under(self, prefix: str, defaults: Mapping[str, Json] | None = None) -> Fields:
        """Returns the same values with another prefix and other defaults."""
        return replace(self, prefix=prefix, defaults=defaults or {})

    def __contains__(self, key: str) -> bool:
        return self.prefix + key in self.values

    def require(self, key: str, value: Json) -> Json:
        """Returns `value`, which came from `key`; None is an error that names the key."""
        if value is None:
            raise self.error(f"the setting `{self.prefix}{key}` is missing")
        return value

    def object(self, key: str) -> Fields | None:
        """Returns the fields of an object of its own, whose keys are named `key.` and theirs."""
        value = self._checked(key, self._get(key), isinstance(self._get(key), Mapping), "an object")
        if value is None:
            return None
        prefix = f"{self.prefix}{key}."
        return replace(
            self, values={prefix + name: v for name, v in value.items()}, prefix=prefix, defaults={}
        )

    def text(self, key: str) -> str | None:
        """Returns a text."""
        value = self._get(key)
        return self._checked(key, value, isinstance(value, str), "a text")

    def flag(self, key: str) -> bool | None:
        """Returns a bool."""
        value = self._get(key)
        return self._checked(key, value, isinstance(value, bool), "true or false")

    def integer(self, key: str, low: int, high: int) -> int | None:
        """Returns a whole number of `low` .. `high`.

        A list with one number for each layer is that number where all are equal.
        """
        value = self._get(key)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size:
            ok, rule = bool((value == value[0]).all()), "the same number for every layer"
            value = int(self._checked(key, value, ok, rule)[0])
        ok = type(value) is int and low <= value <= high
        return self._checked(key, value, ok, f"a whole number of {low} .. {high}")

    def number(self, key: str, low: float, high: float) -> float | None:
        """Returns a number of `low` .. `high`, as float."""
        value = self._get(key)
        ok = type(value) in (int, float) and low <= value <= high
        value = self._checked(key, value, ok, f"a number of {low:g} .. {high:g}")
        return None if value is None else float(value)

    def texts(self, key: str) -> list[str] | None:
        """Returns a list of texts."""
        value = self._get(key)
        ok = isinstance(value, list) and all(isinstance(each, str) for each in value)
        return self._checked(key, value, ok, "a list of texts")

    def numbers(self, key: str, kinds: str) -> list[Json] | None:
        """Returns a list of numbers of the numpy `kinds` (`iu` whole, `f` floating)."""
        value = self._get(key)
        ok = isinstance(value, np.ndarray) and value.dtype.kind in kinds
        rule = "a list of numbers" if "f" in kinds else "a list of whole numbers"
        value = self._checked(key, value, ok, rule)
        return None if value is None else value.tolist()

    def _get(self, key: str) -> Json:
        return self.values.get(self.prefix + key, self.defaults.get(key))

    def _checked(self, key: str, value: Json, ok: bool, rule: str) -> Json:
        if value is None or ok:
            return value
        raise self.error(f"`{self.prefix}{key}` must be {rule}. Got: {_brief(value)}")


def _brief(value: Json) -> str:
    shown = value[:8] if isinstance(value, (list, np.ndarray)) else value
    text = repr(shown.tolist() if isinstance(shown, np.ndarray) else shown)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
