"""Rooms import each other through their faces, and no import goes in a circle."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from tests.imports import exported, imports, is_package, modules

# Modules that another room imports although its face does not export them, and why.
BESIDE_THE_FACE = {
    "tandem_export.checkpoint.comparison.compare": "loads jax, which the face must not",
    "tandem_export.runtime.executors.jax": "loads jax, which the face must not",
    "tandem_export.tpu.plan.html": "loads matplotlib, which the face must not",
}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_rooms_import_each_others_faces_only() -> None:
    """A face is a package's `__init__`; a room of one module is its own face."""
    beside = [
        each
        for each in imports()
        if room(each.importer) != room(each.source)
        and not is_package(each.source)
        and each.source != room(each.source)
        and each.source not in BESIDE_THE_FACE
    ]
    assert beside == []


def test_a_face_lists_what_others_import_from_it() -> None:
    unlisted = [
        each
        for each in imports()
        if room(each.importer) != room(each.source)
        and is_package(each.source)
        and each.name not in {each.source.rpartition(".")[2], *exported(each.source)}
    ]
    assert unlisted == []


def test_every_exception_is_used() -> None:
    used = {each.source for each in imports() if room(each.importer) != room(each.source)}
    assert set(BESIDE_THE_FACE) <= used


def test_no_import_goes_in_a_circle() -> None:
    """Counts imports inside functions too: they only hide a circle."""
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for each in imports():
        if each.importer != each.source:
            graph[each.importer].add(each.source)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None
