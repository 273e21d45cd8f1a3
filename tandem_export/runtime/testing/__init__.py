"""For tests of executors: a toy to run an engine on, and checks that every executor passes."""

from tandem_export.runtime.testing import round_checks, step_checks, use_checks
from tandem_export.runtime.testing.engine import (
    primary_text,
    toy_engine,
    toy_subject,
    toy_tokenizer,
)
from tandem_export.runtime.testing.subject import Check, Subject
from tandem_export.runtime.testing.toy import (
    CACHE,
    DRAFTER,
    PRIMARY,
    ToyExecutor,
    ToyModel,
    ToyRow,
    V,
)

__all__ = [
    "CACHE",
    "CHECKS",
    "DRAFTER",
    "PRIMARY",
    "Check",
    "Subject",
    "ToyExecutor",
    "ToyModel",
    "ToyRow",
    "V",
    "primary_text",
    "toy_engine",
    "toy_subject",
    "toy_tokenizer",
]

# What an executor must do, by name; each is called with a `Subject` and raises AssertionError.
CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (*step_checks.CHECKS, *round_checks.CHECKS, *use_checks.CHECKS)
}
