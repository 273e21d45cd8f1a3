"""Reads the scheduled HLO text that the TPU compiler prints.

Only what the walk needs: per instruction its operation, operands, attributes, and for each array of
its type the bytes and the memory space. A layout's `S(1)` is the chip's on-chip memory (VMEM); no
mark is HBM.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

_BITS = {
    "pred": 8,
    "s2": 2,
    "u2": 2,
    "s4": 4,
    "u4": 4,
    "s8": 8,
    "u8": 8,
    "s16": 16,
    "u16": 16,
    "s32": 32,
    "u32": 32,
    "s64": 64,
    "u64": 64,
    "bf16": 16,
    "f16": 16,
    "f32": 32,
    "f64": 64,
}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
_SPACE = re.compile(r"S\((\d+)\)")
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_LINE = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|true_computation|false_computation)=%([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
HBM = 0


@dataclass(frozen=True, kw_only=True)
class Array:
    """One array of a type: its bytes, its memory space, bits of an element."""

    bytes: float
    space: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line; `type` is its text before the operation, `attributes` that after the operands."""

    name: str
    op: str
    type: str
    operands: tuple[str, ...]
    attributes: str
    arguments: str
    root: bool

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of its type, in order; tuples are flat."""
        return tuple(_array(match) for match in _ARRAY.finditer(self.type) if match[1] in _BITS)

    def size(self, *, hbm_only: bool = False) -> float:
        """Returns bytes of all its arrays, or of those in HBM."""
        return sum(a.bytes for a in self.arrays if a.space == HBM or not hbm_only)

    def attribute(self, pattern: str) -> str | None:
        """Returns the first group of `pattern` in its attributes."""
        match = re.search(pattern, self.attributes)
        return match[1] if match else None

    @property
    def called(self) -> list[str]:
        """The computations it calls; a conditional's branches in order."""
        listed = _BRANCHES.search(self.attributes)
        if listed:
            return [name.strip().lstrip("%") for name in listed[1].split(",")]
        return _CALLED.findall(self.attributes)

    @property
    def cycles(self) -> int:
        """The compiler's own estimate; 0 where it gives none."""
        return int(self.attribute(r'"estimated_cycles":"(\d+)"') or 0)


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A computation's instructions by name, in schedule order."""

    instructions: dict[str, Instruction]

    @cached_property
    def root(self) -> Instruction:
        """What it returns."""
        return next(i for i in self.instructions.values() if i.root)

    @cached_property
    def parameters(self) -> tuple[Instruction, ...]:
        """By their number."""
        arguments = [i for i in self.instructions.values() if i.op == "parameter"]
        return tuple(sorted(arguments, key=lambda i: int(i.arguments)))

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Which instructions take each name."""
        users: dict[str, list[Instruction]] = {}
        for instruction in self.instructions.values():
            for name in dict.fromkeys(instruction.operands):
                users.setdefault(name, []).append(instruction)
        return users


@dataclass(frozen=True, kw_only=True)
class Module:
    """A scheduled module."""

    computations: dict[str, Computation]
    entry: str


def parse(text: str) -> Module:
    """Returns the module that `text` prints."""
    computations: dict[str, Computation] = {}
    entry, computation = "", None
    for line in text.splitlines():
        head = None if line.startswith(" ") else _HEAD.match(line)
        if head:
            computation = {}
            computations[head[2]] = Computation(instructions=computation)
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            computation = None
        elif computation is not None and (match := _LINE.match(line)):
            instruction = _instruction(match[2], match[3], bool(match[1]))
            computation[instruction.name] = instruction
    return Module(computations=computations, entry=entry)


def _instruction(name: str, rest: str, root: bool) -> Instruction:
    end = _closing(rest) + 1 if rest.startswith("(") else rest.index(" ")
    kind, call = rest[:end], rest[end:].strip()
    op, _, body = call.partition("(")
    close = _closing("(" + body) - 1
    return Instruction(
        name=name,
        op=op,
        type=kind,
        operands=tuple(re.findall(r"%([\w.\-]+)", body[:close])),
        attributes=body[close + 1 :],
        arguments=body[:close],
        root=root,
    )


def _closing(text: str) -> int:
    """Returns where the parenthesis closes that `text` begins with."""
    depth = 0
    for bracket in re.finditer(r"[()]", text):
        depth += 1 if bracket[0] == "(" else -1
        if depth == 0:
            return bracket.start()
    return len(text)


def _array(match: re.Match[str]) -> Array:
    bits = _BITS[match[1]]
    elements = math.prod(int(size) for size in match[2].split(",") if size)
    space = _SPACE.search(match[3] or "")
    return Array(bytes=elements * bits / 8, space=int(space[1]) if space else HBM, bits=bits)
