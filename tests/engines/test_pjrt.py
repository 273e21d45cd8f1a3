"""The portable artifacts in XLA's PJRT plugin for the CPU, called through its C API without jax."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import lammps_jax_pjrt_cpu
import numpy as np
import pypjrt
import pytest
from pypjrt.typing import F32, S32, U32

from tests.engines.portable import CASES, FORM, Inputs, arguments, bundle, check_results, flat

KINDS = {np.dtype(np.float32): F32, np.dtype(np.int32): S32, np.dtype(np.uint32): U32}
DTYPES = {kind.code: dtype for dtype, kind in KINDS.items()}


@pytest.fixture(scope="module")
def client() -> Iterator[pypjrt.Client]:
    with pypjrt.Client.create(str(lammps_jax_pjrt_cpu.PLUGIN_PATH)) as created:
        yield created


def host(buffer: pypjrt.Buffer) -> np.ndarray:
    with buffer:
        values = np.empty(buffer.dimensions, DTYPES[buffer.element_type])
        buffer.to_host(values)
    return values


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_values_are_those_of_jax(client: pypjrt.Client, name: str, fixed: Inputs) -> None:
    with ExitStack() as stack:
        program = stack.enter_context(client.compile(bundle().graph_bytes(name, FORM)))
        device, *_ = stack.enter_context(client.devices())
        given = [
            client.buffer_from_host(array, KINDS[array.dtype].code, array.shape, device)
            for array in map(np.array, flat(arguments(name, fixed)))
        ]
        for buffer in given:
            stack.enter_context(buffer)
        check_results(name, fixed, [host(buffer) for buffer in program(*given)])
