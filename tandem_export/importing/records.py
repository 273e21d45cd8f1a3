"""Reads the pickle in a file of `torch.save` as plain records; nothing of it is ever executed.

`pickletools` splits it into operations. The few that build dicts, lists, tuples, numbers and texts
are carried out here; a storage class and the functions of `_CALLED` become records. Any other
operation or name is an error.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tandem_export.errors import CheckpointError

# What a pickle holds; each operation is applied to what it must have, or the file is refused.
Pickled = Any

_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_EMPTY: dict[str, Callable[[], Pickled]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_CALLED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}
_STORAGE = "Storage"
_MARK = object()


@dataclass(frozen=True)
class Name:
    """Something of Python that the pickle names: a storage class, or a function of `_CALLED`."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where a tensor's values lie.

    Attributes:
      kind: the class, such as `FloatStorage`.
      key: the name of its record in the archive.
      size: how many values it has.
    """

    kind: str
    key: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Strided:
    """A tensor: `shape` and `stride` over a storage, from value `offset` on."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_records(data: bytes) -> Pickled:
    """Returns what the pickle `data` builds: dicts, lists, tuples, scalars and `Strided`.

    Raises:
      CheckpointError: it is damaged, or names or does what no dict of tensors needs.
    """
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(data):
            machine.do(operation.name, argument)
        (result,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"its pickle is damaged. Got: {type(error).__name__}: {error}") from (
            error
        )
    return result


class _Machine:
    """The stack and the memo of one reading."""

    def __init__(self) -> None:
        self.stack: list[Pickled] = []
        self.memo: dict[int, Pickled] = {}

    def do(self, name: str, argument: Pickled) -> None:
        push = self.stack.append
        if name in _LITERALS:
            push(_LITERALS[name])
        elif name in _VALUES:
            push(argument)
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name in _TUPLES:
            push(tuple(self._last(_TUPLES[name])))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            push(self.memo[argument])
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name == "GLOBAL":
            push(_named(argument))
        elif name == "STACK_GLOBAL":
            push(_named(" ".join(self._last(2))))
        elif name not in _IGNORED:
            self._combine(name)

    def _combine(self, name: str) -> None:
        """Carries out an operation that makes one value of several."""
        push, pop = self.stack.append, self.stack.pop
        if name == "MARK":
            push(_MARK)
        elif name == "TUPLE":
            push(tuple(self._marked()))
        elif name == "APPEND":
            value = pop()
            self.stack[-1].append(value)
        elif name == "APPENDS":
            values = self._marked()
            self.stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._last(2) if name == "SETITEM" else self._marked()
            self.stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name == "BINPERSID":
            push(_storage(pop()))
        elif name == "REDUCE":
            arguments = pop()
            push(_called(pop(), arguments))
        elif name == "BUILD":
            pop()  # `_metadata` of a state dict: versions of modules
        else:
            raise CheckpointError(
                f"its pickle has an operation that no dict of tensors needs. Got: {name}"
            )

    def _last(self, count: int) -> list[Pickled]:
        values = self.stack[-count:]
        if len(values) < count:
            raise IndexError("the stack is empty")
        del self.stack[-count:]
        return values

    def _marked(self) -> list[Pickled]:
        at = max(i for i, value in enumerate(self.stack) if value is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values


def _named(text: str) -> Name:
    module, _, name = text.partition(" ")
    if text in _CALLED or (module == "torch" and name.endswith(_STORAGE)):
        return Name(text)
    raise CheckpointError(
        "a file of torch may hold dicts, lists, numbers, texts and tensors only; anything else is "
        f"code that reading would run. Got: `{module}.{name}`. Save the weights alone: "
        "torch.save(model.state_dict(), FILE)"
    )


def _storage(pieces: tuple[Pickled, ...]) -> Storage:
    label, kind, key, _, size = pieces
    if label != "storage" or not isinstance(key, str) or type(size) is not int:
        raise ValueError("a storage without a name or a size")
    return Storage(kind=kind.text.removeprefix("torch "), key=key, size=size)


def _called(function: Name, arguments: tuple[Pickled, ...]) -> Pickled:
    if function.text == "collections OrderedDict":
        return dict(*arguments)
    if function.text == "torch._utils _rebuild_parameter":
        return arguments[0]
    storage, offset, shape, stride = arguments[:4]
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError("a tensor without a storage, or of a negative size")
    return Strided(storage=storage, offset=offset, shape=tuple(shape), stride=tuple(stride))
