"""Reads what a portable StableHLO artifact does, without an engine.

A portable artifact is MLIR bytecode in the VHLO dialect: https://mlir.llvm.org/docs/BytecodeFormat
and https://github.com/openxla/stablehlo/blob/main/docs/vhlo.md. This reader walks every operation.
It takes what jax and TensorFlow write and refuses the rest of the format, so that it cannot
understand a module otherwise than the engines do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from tandem_export.bundle.vetting.reading import Malformed, Reader
from tandem_export.bundle.vetting.sections import Tables, read_tables, section

# Operations inside operations: a loop in a branch in a loop. jax's graphs reach 8.
_DEEPEST = 32
# The parts of an operation, as bits of its mask.
_ATTRIBUTES, _RESULTS, _OPERANDS, _REGIONS, _ORDERS, _PROPERTIES = 1, 2, 4, 16, 32, 64
_PARTS = _ATTRIBUTES | _RESULTS | _OPERANDS | _REGIONS | _ORDERS | _PROPERTIES
# The kind of section that holds the body of an operation that sees nothing outside of it.
_BODY = 4
# Properties are stored in alphabetic order. Of `custom_call` versions 1 and 2: api_version,
# backend_config, call_target_name. Of `composite` versions 1 and 2: composite_attributes,
# decomposition, name. Of `func` version 1: arg_attrs, function_type, res_attrs, sym_name.
_NAMED = {
    "vhlo.custom_call_v1": 2,
    "vhlo.custom_call_v2": 2,
    "vhlo.composite_v1": 2,
    "vhlo.composite_v2": 2,
    "vhlo.func_v1": 3,
}
_FUNCTION_TYPE = 1


class TensorType(NamedTuple):
    """The type of one array; `dtype` is numpy's name, or `bfloat16`."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Module:
    """What a module does.

    Attributes:
      operations: names of all operations, without dialect and version, such as `add`.
      custom_calls, composites: the targets and names of those operations, sorted.
      arguments, results: of its function `main`.
    """

    operations: frozenset[str]
    custom_calls: tuple[str, ...]
    composites: tuple[str, ...]
    arguments: tuple[TensorType, ...]
    results: tuple[TensorType, ...]


def read_module(data: bytes) -> Module:
    """Reads a portable artifact.

    Raises:
      Malformed: it is none, or uses a part of the format that jax does not write.
    """
    tables, body = read_tables(data)
    walk = _Walk(tables)
    walk.block(body, 0)
    body.finish()
    if len(walk.mains) != 1:
        raise Malformed(f"a module must have one function `main`. Got: {len(walk.mains)}")
    arguments, results = tables.function_type(walk.mains[0])
    return Module(
        operations=frozenset(_short(name) for name in walk.seen),
        custom_calls=tuple(sorted(walk.named["custom_call"])),
        composites=tuple(sorted(walk.named["composite"])),
        arguments=tuple(TensorType(*tables.tensor_type(i)) for i in arguments),
        results=tuple(TensorType(*tables.tensor_type(i)) for i in results),
    )


def _short(name: str) -> str:
    """Returns `add` for `vhlo.add_v1`, `module` for `builtin.module`."""
    return re.sub(r"_v\d+$", "", name.partition(".")[2])


class _Walk:
    """Visits every operation of a module.

    Attributes:
      seen: their full names.
      named: the targets of custom calls, the names of composites and functions.
      mains: for each function `main`, the attribute with its type.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.seen: set[str] = set()
        self.named: dict[str, set[str]] = {"custom_call": set(), "composite": set(), "func": set()}
        self.mains: list[int] = []

    def block(self, source: Reader, depth: int) -> None:
        """Reads a block: its arguments, then its operations."""
        if depth > _DEEPEST:
            raise Malformed(f"operations must be at most {_DEEPEST} deep inside each other")
        count, has_arguments = divmod(self.tables.varint(source), 2)
        if has_arguments:
            arguments = self.tables.count(source)
            for _ in range(arguments):
                kind, has_location = divmod(self.tables.varint(source), 2)
                self.tables.check_type(kind)
                if has_location:
                    self.tables.check_attribute(self.tables.varint(source))
            if source.byte():
                self._orders(source, arguments)
        for _ in range(self.tables.bounded(count, source)):
            self.operation(source, depth)

    def operation(self, source: Reader, depth: int) -> None:
        """Reads an operation and what is inside it."""
        tables = self.tables
        name, mask = tables.operation(tables.varint(source)), source.byte()
        if mask & ~_PARTS:
            raise Malformed(f"{name} must have no successors. Got: {mask:#x}")
        tables.check_attribute(tables.varint(source))  # its location
        if mask & _ATTRIBUTES:
            tables.check_attribute(tables.varint(source))
        if mask & _PROPERTIES:
            self._note(name, tables.property(tables.varint(source)))
        elif name in _NAMED:
            raise Malformed(f"{name} must have its name among its properties")
        results = tables.count(source) if mask & _RESULTS else 0
        for _ in range(results):
            tables.check_type(tables.varint(source))
        if mask & _OPERANDS:
            for _ in range(tables.count(source)):
                tables.varint(source)
        if mask & _ORDERS:
            self._orders(source, results)
        self.seen.add(name)
        if mask & _REGIONS:
            self._regions(source, depth + 1)

    def _orders(self, source: Reader, values: int) -> None:
        """Reads in which order some of `values` are used, which changes no result."""
        for _ in range(self.tables.count(source) if values > 1 else 1):
            if values > 1:
                self.tables.varint(source)
            for _ in range(self.tables.bounded(self.tables.varint(source) >> 1, source)):
                self.tables.varint(source)

    def _note(self, name: str, properties: Reader) -> None:
        kind = _short(name)
        if name not in _NAMED:
            if kind in self.named:
                raise Malformed(f"{name} must be one of {sorted(_NAMED)}")
            return
        attributes = [self.tables.varint(properties) for _ in range(_NAMED[name] + 1)]
        text = self.tables.text(attributes[-1])
        self.named[kind].add(text)
        if (kind, text) == ("func", "main"):
            self.mains.append(attributes[_FUNCTION_TYPE])

    def _regions(self, source: Reader, depth: int) -> None:
        count, isolated = divmod(self.tables.varint(source), 2)
        if isolated:
            kind, source = section(source)
            if kind != _BODY:
                raise Malformed(f"the body of an operation must be section {_BODY}. Got: {kind}")
        for _ in range(self.tables.bounded(count, source)):
            blocks = self.tables.count(source)
            if blocks:
                self.tables.bounded(self.tables.varint(source), source)  # how many values it names
            for _ in range(blocks):
                self.block(source, depth)
        if isolated:
            source.finish()
