"""How many HBM bytes one scheduled instruction reads and writes.

A fusion reads of an operand only what its slices take, and writes through a dynamic-update-slice
only the update; the rest of an array that is updated in place does not move.
"""

from __future__ import annotations

from tandem_export.tpu.schedule.hlo import HBM, Computation, Instruction, Module

_SLICES = ("dynamic-slice", "slice", "gather")
_UPDATES = ("dynamic-update-slice", "scatter")
_VIEWS = ("bitcast", "reshape", "copy", "transpose")
_PASSING = (*_VIEWS, "convert")
# Deeper nests of fusions than this were never printed.
_DEPTH = 4


def moved(
    module: Module, computation: Computation, instruction: Instruction
) -> tuple[float, float]:
    """Returns HBM bytes (read, written) by one instruction that is neither a loop nor a branch."""
    names, op = computation.instructions, instruction.op
    if op == "copy-start":
        return _hbm(names[instruction.operands[0]]), instruction.arrays[0].bytes * (
            instruction.arrays[0].space == HBM
        )
    if op.endswith(("-start", "async-start")) and instruction.called:
        root = module.computations[instruction.called[0]].root
        return root.size(), root.size(hbm_only=True)
    if op == "slice-start":
        smallest = min(array.bytes for array in instruction.arrays if array.bytes > 4)
        return smallest, 0.0
    if op == "fusion":
        return _fusion(module, computation, instruction)
    if op in _SLICES[:2]:
        return instruction.size(), instruction.size(hbm_only=True)
    if op == "dynamic-update-slice":
        return 0.0, names[instruction.operands[1]].size()
    return sum(_hbm(names[a]) for a in instruction.operands if a in names), _hbm(instruction)


def _hbm(instruction: Instruction) -> float:
    return instruction.size(hbm_only=True)


def _fusion(module: Module, computation: Computation, fusion: Instruction) -> tuple[float, float]:
    inside = module.computations[fusion.called[0]]
    read = 0.0
    for parameter, name in zip(inside.parameters, fusion.operands, strict=True):
        full = _hbm(computation.instructions[name])
        if full:
            read += _read_of(module, inside, parameter.name, full, 0)
    in_hbm = any(array.space == HBM for array in fusion.arrays)
    return read, _written(module, inside, inside.root) if in_hbm else 0.0


def _read_of(module: Module, inside: Computation, name: str, full: float, depth: int) -> float:
    """Returns bytes that the users of `name` read of its `full` bytes."""
    users = inside.users.get(name, [])
    return min(full, sum(_read_by(module, inside, user, name, full, depth) for user in users))


def _read_by(
    module: Module, inside: Computation, user: Instruction, name: str, full: float, depth: int
) -> float:
    if user.op in _SLICES:
        return user.size()
    if user.op in _UPDATES and user.operands[0] == name:
        return 0.0
    if user.op in _VIEWS:
        return _read_of(module, inside, user.name, full, depth)
    if user.op == "convert":
        ratio = inside.instructions[name].arrays[0].bits / user.arrays[0].bits
        return ratio * _read_of(module, inside, user.name, full / ratio, depth)
    if user.op == "fusion" and depth < _DEPTH:
        return _read_by_fusion(module, inside, user, name, full, depth)
    return full


def _read_by_fusion(
    module: Module, inside: Computation, user: Instruction, name: str, full: float, depth: int
) -> float:
    nested = module.computations[user.called[0]]
    most = user.size() if "kind=kLoop" in user.attributes else full
    total = 0.0
    for parameter, operand in zip(nested.parameters, user.operands, strict=True):
        if operand != name:
            continue
        if _hands_on(module, nested, parameter.name):
            total += _read_of(module, inside, user.name, full, depth + 1)
        else:
            total += min(_read_of(module, nested, parameter.name, full, depth + 1), most)
    return total


def _hands_on(module: Module, inside: Computation, name: str) -> bool:
    """Returns whether the root is `name` itself, but for its view."""
    now = inside.root
    while now.name != name:
        if now.op == "fusion" and len(now.operands) == 1:
            nested = module.computations[now.called[0]]
            if not _hands_on(module, nested, nested.parameters[0].name):
                return False
        elif now.op not in _PASSING:
            return False
        now = inside.instructions[now.operands[0]]
    return True


def _written(module: Module, inside: Computation, root: Instruction) -> float:
    names = inside.instructions
    if root.op == "dynamic-update-slice":
        return names[root.operands[1]].size()
    if root.op == "scatter":
        return names[root.operands[-1]].size()
    if root.op == "bitcast":
        return _written(module, inside, names[root.operands[0]])
    if root.op == "tuple":
        return sum(_written(module, inside, names[name]) for name in root.operands)
    if root.op == "fusion":
        nested = module.computations[root.called[0]]
        return _written(module, nested, nested.root)
    return _hbm(root)
