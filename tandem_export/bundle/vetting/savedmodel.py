"""Checks what a SavedModel may do, without TensorFlow.

TensorFlow runs a SavedModel's restore and init operations when it loads it, before anybody calls a
signature. So every node of the graph and of every function is looked at, used or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tandem_export.bundle.vetting.allowed import TENSORFLOW
from tandem_export.bundle.vetting.protobuf import Message
from tandem_export.bundle.vetting.reading import Malformed

# Field numbers of saved_model.proto, meta_graph.proto, graph.proto, function.proto, node_def.proto,
# attr_value.proto, saver.proto.
_META_GRAPHS = 2
_GRAPH, _SAVER, _COLLECTIONS, _SIGNATURES, _ASSETS = 2, 3, 4, 5, 6
_NODES, _LIBRARY, _FUNCTIONS, _GRADIENTS, _REGISTERED = 1, 2, 1, 2, 3
_FUNCTION_SIGNATURE, _FUNCTION_NODES = 1, 3
_NAME, _OPERATION, _INPUTS, _ATTRIBUTES = 1, 2, 3, 5
_KEY, _VALUE = 1, 2
_LIST, _BYTES, _FUNCTION = 1, 2, 10
_LIST_FUNCTIONS, _PLACEHOLDER, _FUNCTION_ATTRIBUTES = 9, 9, 2
_OUTPUTS, _TENSOR = 2, 1
_SAVER_FILE = 1
_ARGUMENTS, _ARGUMENT_NAME = 2, 1
# Files that a version folder may have; TensorFlow would prefer some others to `saved_model.pb`.
FILES = ("saved_model.pb", "variables/variables.index", "assets.extra/tf_serving_warmup_requests")
# Names the node that is run when the model is loaded, and says nothing else.
_INIT = "saved_model_main_op"
_SHARDS = "variables/variables.data-"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation.

    Attributes:
      calls: names of the functions among its attributes.
      module: of an XlaCallModule, the StableHLO module; else None.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    module: bytes | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The parts of a SavedModel that run.

    Attributes:
      nodes: of the graph, by name.
      functions: their nodes.
      arguments: names of the functions' arguments.
      signatures: the tensors that each one gives.
      file: the tensor that is fed the name of the weights' file.
    """

    nodes: Mapping[str, Node]
    functions: Mapping[str, tuple[Node, ...]]
    arguments: Mapping[str, tuple[str, ...]]
    signatures: Mapping[str, tuple[str, ...]]
    file: str

    def modules(self, signature: str) -> list[bytes]:
        """Returns the StableHLO modules that a signature runs.

        Raises:
          Malformed: there is no such signature.
        """
        if signature not in self.signatures:
            raise Malformed(f"a model must have the signature {signature!r}")
        nodes: dict[str, Node] = {}
        wanted = [_node_of(tensor) for tensor in self.signatures[signature]]
        while wanted:
            name = wanted.pop()
            if name in self.nodes and name not in nodes:
                nodes[name] = self.nodes[name]
                wanted += [_node_of(value) for value in nodes[name].inputs]
        return [node.module for node in self._inside(nodes.values()) if node.module is not None]

    def _inside(self, nodes: Iterable[Node]) -> Iterator[Node]:
        functions: set[str] = set()
        wanted = list(nodes)
        while wanted:
            node = wanted.pop()
            yield node
            for name in set(node.calls) - functions:
                functions.add(name)
                wanted += self.functions.get(name, ())

    def every_node(self) -> Iterator[Node]:
        """Yields the nodes of the graph and of all functions."""
        yield from self.nodes.values()
        for nodes in self.functions.values():
            yield from nodes


def read_model(data: bytes) -> Model:
    """Reads a `saved_model.pb`.

    Raises:
      Malformed: not a SavedModel with one graph, or one with assets, collections or gradients.
    """
    metas = list(Message(data).messages(_META_GRAPHS))
    if len(metas) != 1:
        raise Malformed(f"a model must have one graph. Got: {len(metas)}")
    [meta] = metas
    collections = {entry.text(_KEY) for entry in meta.messages(_COLLECTIONS)}
    if meta.pieces.get(_ASSETS) or not collections <= {_INIT}:
        rule = f"a model must have no assets, and no collection but {_INIT!r}"
        raise Malformed(f"{rule}. Got: {sorted(collections)}")
    graphs = list(meta.messages(_GRAPH))
    for library in (one for graph in graphs for one in graph.messages(_LIBRARY)):
        if library.pieces.get(_GRADIENTS) or library.pieces.get(_REGISTERED):
            raise Malformed("a model must define no gradients")
    nodes = _by_name(_node(one) for graph in graphs for one in graph.messages(_NODES))
    functions: dict[str, tuple[Node, ...]] = {}
    arguments: dict[str, tuple[str, ...]] = {}
    for function in (one for graph in graphs for one in graph.messages(_LIBRARY, _FUNCTIONS)):
        [signature] = function.messages(_FUNCTION_SIGNATURE)
        name = signature.text(_NAME)
        if name in functions:
            raise Malformed(f"function {name!r} must be defined once")
        functions[name] = tuple(_node(one) for one in function.messages(_FUNCTION_NODES))
        arguments[name] = tuple(one.text(_ARGUMENT_NAME) for one in signature.messages(_ARGUMENTS))
    savers = list(meta.messages(_SAVER))
    return Model(
        nodes=nodes,
        functions=functions,
        arguments=arguments,
        signatures=_signatures(meta),
        file=savers[0].text(_SAVER_FILE) if len(savers) == 1 else "",
    )


def signature_of(name: str, role: str) -> str:
    """Returns the signature that runs a graph: `insert` works on the pool, so one serves all."""
    return role if role == "insert" else name


def _by_name(nodes: Iterable[Node]) -> dict[str, Node]:
    by_name: dict[str, Node] = {}
    for node in nodes:
        if node.name in by_name:
            raise Malformed(f"node {node.name!r} must be there once")
        by_name[node.name] = node
    return by_name


def _node(message: Message) -> Node:
    calls: list[str] = []
    module, operation = None, message.text(_OPERATION)
    for attribute in message.messages(_ATTRIBUTES):
        for value in attribute.messages(_VALUE):
            if value.pieces.get(_PLACEHOLDER):
                raise Malformed("a node's attributes must be values")
            functions = [*value.messages(_FUNCTION), *value.messages(_LIST, _LIST_FUNCTIONS)]
            if any(function.pieces.get(_FUNCTION_ATTRIBUTES) for function in functions):
                raise Malformed("a function must be called without attributes")
            calls += [function.text(_NAME) for function in functions]
            if operation == "XlaCallModule" and attribute.text(_KEY) == "module":
                if module is not None or len(value.pieces.get(_BYTES, [])) != 1:
                    raise Malformed("an XlaCallModule must have one module")
                [module] = value.pieces[_BYTES]
    return Node(
        name=message.text(_NAME),
        operation=operation,
        inputs=tuple(message.texts(_INPUTS)),
        calls=tuple(calls),
        module=module,
    )


def _signatures(meta: Message) -> dict[str, tuple[str, ...]]:
    signatures: dict[str, tuple[str, ...]] = {}
    for entry in meta.messages(_SIGNATURES):
        name = entry.text(_KEY)
        if name in signatures:
            raise Malformed(f"signature {name!r} must be defined once")
        tensors = [one.text(_TENSOR) for one in entry.messages(_VALUE, _OUTPUTS, _VALUE)]
        signatures[name] = tuple(tensors)
    return signatures


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def check_nodes(model: Model) -> None:
    """Checks every operation, and that only the model's own weights are read.

    Raises:
      Malformed: an operation is not on the list, a compiled module calls back into TensorFlow, or
        another file than the weights would be read.
    """
    for node in model.every_node():
        if node.operation not in TENSORFLOW:
            rule = "operations must be on the list of those that compute"
            raise Malformed(f"node {node.name!r}: {rule}. Got: {node.operation!r}")
        if node.operation == "XlaCallModule" and (node.calls or node.module is None):
            raise Malformed(f"node {node.name!r} must hold a module and call no function")
        unknown = sorted(set(node.calls) - set(model.functions))
        if unknown:
            raise Malformed(f"node {node.name!r} must call functions of the model. Got: {unknown}")
    _check_restore(model)


def _check_restore(model: Model) -> None:
    """Checks that the name of the file to read comes from whoever loads the model."""
    restorers = {
        name: restores
        for name, nodes in model.functions.items()
        if (restores := [node for node in nodes if node.operation == "RestoreV2"])
    }
    if any(node.operation == "RestoreV2" for node in model.nodes.values()):
        raise Malformed("weights must be read in a function, not in the graph")
    for name, restores in restorers.items():
        if any(node.inputs[:1] != model.arguments[name][:1] for node in restores):
            raise Malformed(f"function {name!r} must read the file that it is given")
    for node in model.every_node():
        given = node.inputs[:1] == (_node_of(model.file),)
        placeholder = model.nodes.get(_node_of(model.file))
        from_loader = placeholder is not None and placeholder.operation == "Placeholder"
        is_top = model.nodes.get(node.name) is node
        if set(node.calls) & set(restorers) and not (given and from_loader and is_top):
            raise Malformed(f"node {node.name!r} must read the file that the loader names")


def check_files(names: Iterable[str]) -> None:
    """Checks the paths of a version folder.

    Raises:
      Malformed: one that TensorFlow could read in place of what was checked.
    """
    for name in sorted(names):
        if name not in FILES and not name.startswith(_SHARDS):
            raise Malformed(f"a SavedModel must hold only its graph and weights. Got: {name!r}")
