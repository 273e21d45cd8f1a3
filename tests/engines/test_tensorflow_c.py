"""A SavedModel in a C program, over the C library that TensorFlow's wheel holds: no Python."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tandem_export.serving import LocalModel
from tests.serving.bundles import EVERY_ROLE, build_tiny, model_folder
from tests.serving.calls import generating

SOURCE = Path(__file__).with_name("run_savedmodel.c")
OPTIONS = dataclasses.replace(EVERY_ROLE, roles=("router", "generate"), platforms=("cpu",))


def compiled(folder: Path) -> Path:
    """The program, linked against the wheel's libraries."""
    wheel, program = Path(tf.sysconfig.get_lib()), folder / "run_savedmodel"
    libraries = [str(path) for path in wheel.glob("libtensorflow_*.so.2")]
    command = ["gcc", "-std=c11", "-Wall", "-Werror", "-O1", str(SOURCE), "-o", str(program)]
    include = ["-isystem", tf.sysconfig.get_include()]
    subprocess.run([*command, *include, *libraries, f"-Wl,-rpath,{wheel}"], check=True)
    return program


def tensor(info) -> str:
    name, _, index = info.name.partition(":")
    return f"{name} {index}"


def test_an_answer_from_c_is_the_answer_from_python(tmp_path: Path) -> None:
    bundle = build_tiny("c", OPTIONS, ("savedmodel",))
    folder, name = model_folder(bundle), "generate_b2_s4"
    inputs = generating([[3], [1, 2, 3, 4]], 4, 8)
    model = LocalModel(folder)
    want = model.call(name, inputs)
    model.close()

    data = (folder / "saved_model.pb").read_bytes()
    signature = saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].signature_def[name]
    lines = []
    for given, value in inputs.items():
        value.tofile(tmp_path / given)
        info = signature.inputs[given]
        shape = " ".join(map(str, (value.ndim, *value.shape)))
        lines.append(f"feed {tensor(info)} {info.dtype} {shape} {tmp_path / given}")
    wanted = {key: tmp_path / f"{key}.out" for key in want}
    lines += [f"fetch {tensor(signature.outputs[key])} {path}" for key, path in wanted.items()]
    (tmp_path / "job").write_text("\n".join(lines) + "\n")

    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [compiled(tmp_path), folder, tmp_path / "job"]
    subprocess.run(command, check=True, env=environment)
    assert int(want["count"].sum()) > 2
    for key, path in wanted.items():
        got = np.fromfile(path, want[key].dtype).reshape(want[key].shape)
        np.testing.assert_array_equal(got, want[key], err_msg=key)
