"""A validator of JSON schemas that takes 8.0 for no integer, and stops at a few errors."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import jsonschema
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from tandem_export.jsontypes import Json

_MOST = 100


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON schema takes 8.0 for an integer; a shape does not.
_Strict = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def make_validator(schema: Mapping[str, Json]) -> Validator:
    """Returns a validator of `schema` that checks formats too."""
    return _Strict(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def first_breach(validator: Validator, values: Json) -> jsonschema.ValidationError | None:
    """Returns the breach whose path sorts first, of the first hundred; None without any."""
    breaches = islice(validator.iter_errors(values), _MOST)
    return min(breaches, key=lambda breach: list(map(str, breach.absolute_path)), default=None)
