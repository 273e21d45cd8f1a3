"""Joins functions that only call another one with what they call.

TensorFlow wraps each signature once more when it saves it. A wrapper repeats every argument, and a
signature has one for every weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

# protobuf makes classes of messages at run time: they have no types.
Proto = Any

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# A call compiles such a function as a whole; a body that moves into its caller would not be.
_COMPILED = "_XlaMustCompile"


def join_wrappers(meta: Proto) -> None:
    """Gives every wrapper of a `MetaGraphDef` the body of the function that only it calls.

    A wrapper keeps its name and the names of its outputs: signatures and the object graph know
    them. A function that they name directly stays as it is.
    """
    library, known = meta.graph_def.library, set(meta.object_graph_def.concrete_functions)
    known.update(name for node in meta.graph_def.node for name in named_functions(node))
    functions = {function.signature.name: function for function in library.function}
    nodes = [node for function in functions.values() for node in function.node_def]
    callers = Counter(name for node in nodes for name in named_functions(node))
    joinable = {name for name, count in callers.items() if count == 1} - known
    while pair := next(_pairs(functions, joinable), None):
        wrapper, inner = pair
        _take_body(wrapper, functions.pop(inner.signature.name))
    copies = [type(f).FromString(f.SerializeToString()) for f in functions.values()]
    del library.function[:]
    library.function.extend(copies)


def named_functions(node: Proto) -> Iterator[str]:
    """Yields the names of the functions among a node's attributes."""
    yield from (value.func.name for value in node.attr.values() if value.func.name)


def _pairs(functions: dict[str, Proto], joinable: set[str]) -> Iterator[tuple[Proto, Proto]]:
    for wrapper in functions.values():
        call = _only_call(wrapper)
        name = None if call is None else call.attr["f"].func.name
        if name in joinable and not _is_compiled(functions[name]):
            yield wrapper, functions[name]


def _is_compiled(function: Proto) -> bool:
    return _COMPILED in function.attr and function.attr[_COMPILED].b


def _only_call(function: Proto) -> Proto | None:
    """Returns the call that passes on the function's arguments, if the function does only that."""
    calls = [node for node in function.node_def if node.op in _CALLS]
    others = [node for node in function.node_def if node.op not in _CALLS]
    if len(calls) != 1 or any(node.op not in ("Identity", "NoOp") for node in others):
        return None
    arguments = [argument.name for argument in function.signature.input_arg]
    return calls[0] if list(calls[0].input) == arguments else None


def _take_body(wrapper: Proto, inner: Proto) -> None:
    returned = {name: _result(wrapper, inner, value) for name, value in wrapper.ret.items()}
    signature = type(wrapper.signature).FromString(inner.signature.SerializeToString())
    signature.name = wrapper.signature.name
    del signature.output_arg[:]
    signature.output_arg.extend(wrapper.signature.output_arg)
    wrapper.CopyFrom(inner)
    wrapper.signature.CopyFrom(signature)
    wrapper.ret.clear()
    wrapper.ret.update(returned)


def _result(wrapper: Proto, inner: Proto, value: str) -> str:
    """Returns the `call:output:i` of `inner`, through identities, for `value` of `wrapper`."""
    nodes = {node.name: node for node in wrapper.node_def}
    while nodes[(name := value.split(":")[0])].op == "Identity":
        value = nodes[name].input[0]
    index = int(value.split(":")[2])
    return inner.ret[inner.signature.output_arg[index].name]
