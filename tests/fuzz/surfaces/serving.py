"""Answers of a model server over both wires, and SavedModels."""

from __future__ import annotations

import json
import random
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving import ClientOptions, connect
from tandem_export.serving.client.messages import predict_request, read_array, read_signatures
from tandem_export.serving.client.protos import message
from tandem_export.serving.protocol import check_answer
from tests.fuzz.mutate import change_bytes, json_bytes

_DIMS = [{"size": "2", "name": ""}, {"size": "3", "name": ""}]
_SIGNATURE = {
    "inputs": {
        "tokens": {"dtype": "DT_INT32", "tensor_shape": {"dim": _DIMS, "unknown_rank": False}}
    },
    "outputs": {
        "logits": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": _DIMS}},
        "count": {"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "2"}]}},
        "epoch": {"dtype": "DT_INT32", "tensor_shape": {}},
    },
    "method_name": "tensorflow/serving/predict",
}
METADATA = {
    "model_spec": {"name": "tandem", "signature_name": "", "version": "1"},
    "metadata": {"signature_def": {"signature_def": {"round": _SIGNATURE, "__init": {}}}},
}
ANSWER = {"outputs": {"logits": [[1.0, 2.0, 3.0], [4, 5, 6]], "count": [1, 2], "epoch": 7}}
FAILURE = {"error": "tandem-export: `slots` must be free. Got: 9 (row 0)"}
INPUTS = {"tokens": np.zeros((2, 3), np.int32)}


class Server:
    """Answers each connection with the next bytes, whatever was asked, and hangs up."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._socket.accept()
            with peer, suppress(OSError):
                peer.settimeout(5)
                _receive(peer)
                peer.sendall(self.answers.pop(0) if self.answers else b"")


def _receive(peer: socket.socket) -> None:
    """Reads one request to its end, or the client would see a reset in place of the answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ontent-Length:" in line]
    while length and len(body) < length[0]:
        body += peer.recv(65536) or b"\0" * length[0]


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def prepare_rest(folder: Path) -> Any:
    del folder
    return Server()


def rest(rng: random.Random, folder: Path, material: Any) -> None:
    del folder
    metadata, answer = http(json.dumps(METADATA).encode()), http(json.dumps(ANSWER).encode())
    kind = rng.random()
    if kind < 0.4:
        metadata = http(json_bytes(rng, METADATA))
    elif kind < 0.8:
        answer = http(json_bytes(rng, ANSWER))
    elif kind < 0.9:
        status = rng.choice(("400 Bad", "404 No", "503 Busy", "301 Moved", "204 Nothing", "999 X"))
        answer = http(json_bytes(rng, FAILURE), status)
    else:
        answer = change_bytes(rng, answer)
    material.answers[:] = [metadata, answer]
    options = ClientOptions(deadline=2.0, retries=0, backoff=0.001)
    client = connect(material.address, model="tandem", options=options)
    client.call("round", INPUTS)


def prepare_messages(folder: Path) -> Any:
    """A metadata answer and a prediction, as bytes."""
    del folder
    signatures = message("SignatureDefMap")()
    own = signatures.signature_def["round"]
    for name, infos in (("tokens", own.inputs), ("logits", own.outputs)):
        infos[name].dtype = 1
        infos[name].tensor_shape.dim.add(size=2)
    metadata = message("GetModelMetadataResponse")()
    metadata.metadata["signature_def"].value = signatures.SerializeToString()
    answer = message("PredictResponse")()
    values = {"logits": np.ones(2, np.float32)}
    for name, tensor in predict_request("m", "round", values).inputs.items():
        answer.outputs[name].CopyFrom(tensor)
    answer.outputs["more"].dtype = 3
    answer.outputs["more"].int_val.append(5)
    return metadata.SerializeToString(), answer.SerializeToString()


def messages(rng: random.Random, folder: Path, material: Any) -> None:
    """GRPC itself reports bytes that are no message; what parses comes here."""
    del folder
    from google.protobuf.message import DecodeError

    metadata, answer = material
    if rng.random() < 0.5:
        metadata = change_bytes(rng, metadata)
    else:
        answer = change_bytes(rng, answer)
    try:
        told = message("GetModelMetadataResponse").FromString(metadata)
        said = message("PredictResponse").FromString(answer)
    except DecodeError as error:
        raise ServingError(f"no message: {error}") from error
    signatures = read_signatures(told)
    values = {name: read_array(tensor) for name, tensor in said.outputs.items()}
    for name, own in signatures.items():
        check_answer(name, own, values)


def prepare_model(folder: Path) -> Any:
    """A SavedModel with one signature."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="x")])
        def double(self, x: Any) -> Any:
            return {"y": 2 * x}

    made = Module()
    tf.saved_model.save(made, str(folder / "good"), signatures={"double": made.double})
    shutil.copytree(folder / "good", folder / "model")
    return (folder / "good" / "saved_model.pb").read_bytes()


def model(rng: random.Random, folder: Path, material: Any) -> None:
    from tandem_export.serving import LocalModel

    (folder / "model" / "saved_model.pb").write_bytes(change_bytes(rng, material))
    loaded = LocalModel(folder / "model")
    try:
        loaded.call("double", {"x": np.ones(2, np.float32)})
    finally:
        loaded.close()
