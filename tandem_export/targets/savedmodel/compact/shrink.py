"""Takes out of a SavedModel what tracing leaves behind and running does not need.

Every signature is traced with its weights as arguments, three functions deep. What each function
says of each of them, mostly in names, is together larger than the modules that compute something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tandem_export.targets.savedmodel.compact.wrappers import Proto, join_wrappers, named_functions

# What tracing notes and running does not read: shapes (they are inferred again), which variables a
# call only reads (for the order of several calls), the Python names of arguments, the text of an
# error that only gradients meet.
_NOTES = (
    "_input_shapes",
    "_output_shapes",
    "_read_only_resource_inputs",
    "_user_specified_name",
    "message",
)
# Operations of a compiled step that hand on their first input.
_FORWARDING = ("EnsureShape", "Identity", "PreventGradient")


def shrink(model: Proto) -> None:
    """Shrinks a `SavedModel` message in place; its signatures stay as they are.

    * What writes a checkpoint goes: a server only reads, and a model that can write files could
      write any.
    * A compiled step keeps its reads, its module and its writes. They need no order of their own:
      the module needs all reads, every write needs the module.
    * A function that only calls another one takes its body.
    * Arguments and nodes of functions, and nodes that are variables, get short names. Weights keep
      theirs: a variable is known by its `shared_name`, and in the checkpoint by the object's.
    """
    for meta in model.meta_graphs:
        graph = meta.graph_def
        _drop_saving(meta)
        for function in graph.library.function:
            _drop_function_notes(function)
            if any(node.op == "XlaCallModule" for node in function.node_def):
                _keep_step(function)
        join_wrappers(meta)
        for function in graph.library.function:
            _rename_locals(function)
        _drop_unused_reads(graph)
        _drop_notes(graph.node)
        _rename_variables(graph.node)


def _drop_saving(meta: Proto) -> None:
    """Replaces the saver's tensor for saving by that for the file's name: it has to name one."""
    graph, saver = meta.graph_def, meta.saver_def
    saving = _name(saver.save_tensor_name)
    saver.save_tensor_name = saver.filename_tensor_name
    gone = {name for node in graph.node if node.name == saving for name in named_functions(node)}
    _set(graph.node, [node for node in graph.node if node.name != saving])
    functions = graph.library.function
    _set(functions, [function for function in functions if function.signature.name not in gone])


def _drop_function_notes(function: Proto) -> None:
    _drop_notes([function, *function.arg_attr.values(), *function.node_def])
    for index, attributes in list(function.arg_attr.items()):
        if not attributes.attr:
            del function.arg_attr[index]
    for argument in function.signature.input_arg:
        argument.ClearField("handle_data")  # shapes again


def _drop_notes(noted: Iterable[Proto]) -> None:
    for attributes in (own.attr for own in noted):
        for name in _NOTES:
            attributes.pop(name, None)


def _keep_step(function: Proto) -> None:
    nodes = {node.name: node for node in function.node_def}

    def source(value: str) -> str:
        node = nodes.get(_name(value))
        return value if node is None or node.op not in _FORWARDING else source(node.input[0])

    for node in nodes.values():
        node.input[:] = [source(value) for value in node.input if not value.startswith("^")]
    for name, value in list(function.ret.items()):
        function.ret[name] = source(value)
    writes = [node.name for node in nodes.values() if node.op == "AssignVariableOp"]
    (module,) = (node.name for node in nodes.values() if node.op == "XlaCallModule")
    needed = {module, *writes}
    needed |= {_name(value) for name in needed for value in nodes[name].input}
    _set(function.node_def, [node for node in nodes.values() if node.name in needed])
    function.control_ret.clear()
    function.control_ret.update(zip(writes, writes, strict=True))
    function.signature.control_output[:] = writes


def _rename_locals(function: Proto) -> None:
    definitions = [*function.signature.input_arg, *function.node_def]
    short = {one.name: f"n{i}" for i, one in enumerate(definitions)}
    for one in definitions:
        one.name = short[one.name]
    for node in function.node_def:
        node.input[:] = [_refer(value, short) for value in node.input]
    for values in (function.ret, function.control_ret):
        for name, value in list(values.items()):
            values[name] = _refer(value, short)


def _drop_unused_reads(graph: Proto) -> None:
    """Drops each variable's read beside the signatures, which read for themselves."""
    used = {_name(value) for node in graph.node for value in node.input}
    _set(graph.node, [n for n in graph.node if n.op != "ReadVariableOp" or n.name in used])


def _rename_variables(nodes: Iterable[Proto]) -> None:
    handles = [node for node in nodes if node.op == "VarHandleOp"]
    short = {node.name: f"v{i}" for i, node in enumerate(handles)}
    for node in nodes:
        node.name = short.get(node.name, node.name)
        node.input[:] = [_refer(value, short) for value in node.input]


def _name(value: str) -> str:
    """Returns the node of an input: `^node`, `node`, or `node:output:0`."""
    return value.removeprefix("^").split(":")[0]


def _refer(value: str, names: Mapping[str, str]) -> str:
    name = _name(value)
    return value.replace(name, names.get(name, name), 1)


def _set(repeated: Proto, values: Iterable[Proto]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del repeated[:]
    repeated.extend(copies)
