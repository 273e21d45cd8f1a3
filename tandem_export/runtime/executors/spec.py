"""The names of executors: which engine runs a bundle's graphs, and with which options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tandem_export.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What there is to know of an engine before it is imported.

    Attributes:
      form: the form of a bundle's graphs that it runs.
      extra: the extra of this package that installs it.
      package: the package that must be there to run it in this process; None for a server.
      precisions: what it can compute matrix products in, the default first; empty where that is
        the bundle's dtype.
      mappable: whether it can read the weights from the mapped file and hold no copy.
      needs_address: whether it is a server, whose address follows its name.
    """

    form: str
    extra: str
    package: str | None
    precisions: tuple[str, ...] = ()
    mappable: bool = False
    needs_address: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """What may follow the engine's name."""
        return (*self.precisions, *(("mapped",) if self.mappable else ()))


# The best first: without a name a bundle gets the first that it has graphs for.
ENGINES = {
    "jax": EngineFacts(form="jax_export", extra="jax", package="jax"),
    "onnxruntime": EngineFacts(form="onnx", extra="onnx", package="onnxruntime", mappable=True),
    "openvino": EngineFacts(
        form="onnx",
        extra="openvino",
        package="openvino",
        precisions=("float32", "bfloat16"),
        mappable=True,
    ),
    "tensorflow": EngineFacts(form="savedmodel", extra="tensorflow", package="tensorflow"),
    "tf-serving": EngineFacts(form="savedmodel", extra="serving", package=None, needs_address=True),
}


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec:
    """An executor by name, parsed: `openvino:bfloat16+mapped` names an engine and two options.

    Attributes:
      engine: one of `ENGINES`.
      precision: what matrix products are computed in; None where that is the bundle's dtype.
      mapped: the weights stay in the mapped file, and no copy is held.
      address: where the server is, such as `grpc://localhost:8500`; None for all others.
    """

    engine: str
    precision: str | None = None
    mapped: bool = False
    address: str | None = None

    @classmethod
    def parse(cls, text: ExecutorSpec | str, *, what: str = "executor") -> ExecutorSpec:
        """Returns what `text` names; a record that was parsed already stays as it is.

        Args:
          text: `ENGINE`, `ENGINE:OPTION+OPTION` or `tf-serving:ADDRESS`.
          what: the name of the parameter, for the error.

        Raises:
          ConfigError: an unknown engine or option, options that exclude each other, or a server
            without an address.
        """
        if isinstance(text, ExecutorSpec):
            return text
        engine, _, rest = str(text).partition(":")
        why = _fault(engine, rest)
        if why is not None:
            rule = f"`{what}` must be an engine, perhaps with options: {GRAMMAR}"
            raise ConfigError(f"{rule}. Got: {text!r}: {why}")
        facts = ENGINES[engine]
        if facts.needs_address:
            return cls(engine=engine, address=rest)
        options = rest.split("+")
        precisions = [one for one in facts.precisions if one in options] or facts.precisions
        return cls(
            engine=engine,
            precision=next(iter(precisions), None),
            mapped="mapped" in options,
        )

    @property
    def facts(self) -> EngineFacts:
        """What there is to know of the engine."""
        return ENGINES[self.engine]

    @property
    def form(self) -> str:
        """The form of a bundle's graphs that it runs."""
        return self.facts.form

    def __str__(self) -> str:
        """Returns the shortest name that is parsed to this record."""
        is_default = self.precision in self.facts.precisions[:1]
        options = [] if is_default or self.precision is None else [self.precision]
        rest = self.address or "+".join([*options, *(["mapped"] if self.mapped else [])])
        return f"{self.engine}:{rest}" if rest else self.engine


def _fault(engine: str, rest: str) -> str | None:
    """Says what is wrong with a name; None if nothing is."""
    facts = ENGINES.get(engine)
    if facts is None:
        return f"{engine!r} is no engine"
    if facts.needs_address:
        return None if rest else f"{engine} has no address, such as grpc://localhost:8500"
    options = rest.split("+") if rest else []
    for option in options:
        if option not in facts.options:
            return f"{option!r} is no option of {engine}"
        if options.count(option) > 1:
            return f"{option!r} is there twice"
    if len(set(options) & set(facts.precisions)) > 1:
        return f"{engine} computes in one of {' and '.join(facts.precisions)}"
    return None


def _pattern(engine: str) -> str:
    facts = ENGINES[engine]
    kinds = ["|".join(facts.precisions), "mapped" if facts.mappable else ""]
    if facts.needs_address:
        return f"{engine}:ADDRESS"
    options = "+".join(kind for kind in kinds if kind)
    return f"{engine}[:{options}]" if options else engine


GRAMMAR = ", ".join(map(_pattern, ENGINES))


def executor_names() -> Iterator[str]:
    """Yields each name that there is, the shortest for each record; servers end at the colon."""
    for engine, facts in ENGINES.items():
        if facts.needs_address:
            yield f"{engine}:"
            continue
        for precision, mapped in product(facts.precisions or (None,), {False, facts.mappable}):
            yield str(ExecutorSpec(engine=engine, precision=precision, mapped=mapped))
