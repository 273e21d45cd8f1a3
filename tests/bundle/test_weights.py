from __future__ import annotations

import mmap
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tandem_export.bundle.weights import (
    forget_pages,
    locate_weights,
    map_weights,
    write_weights,
)
from tandem_export.errors import BundleError
from tandem_export.storage import numpy_dtype

TENSORS = {
    "b.matrix": np.arange(6, dtype=np.float32).reshape(2, 3) / 3,
    "a.scalar": np.array(2.5, np.float32),
    "c.odd": np.arange(5, dtype=np.int8),
    "d.flags": np.array([True, False, True]),
    "e.empty": np.zeros((0, 4), np.float32),
    "f.turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "g.long": np.arange(3, dtype=np.int64),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_floats_are_cast_and_the_rest_kept(tmp_path, dtype):
    write_weights(tmp_path / "w", TENSORS, dtype)
    got = map_weights(tmp_path / "w")
    assert set(got) == set(TENSORS)
    for name, tensor in TENSORS.items():
        want = tensor.astype(numpy_dtype(dtype)) if tensor.dtype == np.float32 else tensor
        assert got[name].dtype == want.dtype
        np.testing.assert_array_equal(got[name], want)


def test_bfloat16_sources_are_cast_too(tmp_path):
    write_weights(tmp_path / "w", {"x": np.array([0.5, 3], ml_dtypes.bfloat16)}, "float32")
    assert map_weights(tmp_path / "w")["x"].dtype == np.float32


def test_the_safetensors_library_reads_the_file(tmp_path):
    write_weights(tmp_path / "w", TENSORS, "float32")
    read = load_file(tmp_path / "w")
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read[name], tensor)


def test_a_file_of_the_safetensors_library_is_read(tmp_path):
    save_file({"x": TENSORS["b.matrix"]}, tmp_path / "w", metadata={"made": "elsewhere"})
    np.testing.assert_array_equal(map_weights(tmp_path / "w")["x"], TENSORS["b.matrix"])


def test_views_are_aligned_read_only_and_of_one_map(tmp_path):
    write_weights(tmp_path / "w", TENSORS, "bfloat16")
    got = [value for value in map_weights(tmp_path / "w").values() if value.size]
    assert all(value.flags.aligned and not value.flags.writeable for value in got)
    assert {type(value) for value in got} == {np.ndarray}
    assert len({id(mapping(value)) for value in got}) == 1


def mapping(array: np.ndarray) -> mmap.mmap:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    return base


def test_writing_holds_one_tensor_at_a_time(tmp_path):
    tensors = {f"{i}": np.ones((256, 1024), np.float32) for i in range(16)}  # 1 MiB each
    tracemalloc.start()
    write_weights(tmp_path / "w", tensors, "bfloat16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20


def test_a_dtype_that_the_format_lacks_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"tensor 'x' must have a dtype .* Got: complex64"):
        write_weights(tmp_path / "w", {"x": np.zeros(2, np.complex64)}, "float32")


def test_a_damaged_header_is_a_bundle_error(tmp_path):
    (tmp_path / "w").write_bytes(b"123")
    with pytest.raises(BundleError, match=r"^`w`: not a whole safetensors file: "):
        map_weights(tmp_path / "w")
    with pytest.raises(BundleError, match=r"^`w`: not a whole safetensors file: "):
        locate_weights(tmp_path / "w")


def test_a_tensors_place_is_where_its_bytes_lie(tmp_path):
    path = tmp_path / "w.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(5, dtype=np.int8)}
    write_weights(path, tensors, "bfloat16")
    data, places = path.read_bytes(), locate_weights(path)
    assert set(places) == set(tensors)
    for name, tensor in map_weights(path).items():
        place = places[name]
        assert (place.dtype, place.shape) == (tensor.dtype, tensor.shape)
        assert data[place.offset : place.offset + place.length] == tensor.tobytes()
    assert min(place.offset for place in places.values()) % 64 == 0


def test_forgotten_pages_are_read_again(tmp_path) -> None:
    tensors = {"a": np.arange(4096, dtype=np.float32), "b": np.ones(3, np.float32)}
    write_weights(tmp_path / "w", tensors, None)
    mapped = map_weights(tmp_path / "w")
    for name, tensor in (*mapped.items(), *tensors.items()):
        forget_pages(tensor)
        assert (tensor == tensors[name]).all()
