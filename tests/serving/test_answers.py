"""A client and a server that answers anything: every junk answer is one error, in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tandem_export.errors import ConfigError, ServingError
from tandem_export.serving import ClientOptions, Interrupted, connect
from tandem_export.serving.client.messages import read_array, read_signatures
from tandem_export.serving.client.protos import message
from tests.fuzz.surfaces.serving import ANSWER, INPUTS, METADATA, Server, http

OPTIONS = ClientOptions(deadline=5, retries=0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield Server()


def call(server: Server, *answers: bytes) -> dict[str, np.ndarray]:
    server.answers[:] = [http(json.dumps(METADATA).encode()), *answers]
    return connect(server.address, model="tandem", options=OPTIONS).call("round", INPUTS)


def answer(**outputs: Any) -> bytes:
    return http(json.dumps({"outputs": ANSWER["outputs"] | outputs}).encode())


def test_a_good_answer_has_the_dtypes_of_the_signature(server: Server) -> None:
    got = call(server, answer(logits=[[1, 2, float("nan")], [4, float("inf"), 1e300]]))
    assert {name: (str(v.dtype), v.shape) for name, v in got.items()} == {
        "logits": ("float32", (2, 3)),
        "count": ("int32", (2,)),
        "epoch": ("int32", ()),
    }
    np.testing.assert_array_equal(got["logits"], [[1, 2, np.nan], [4, np.inf, np.inf]])


ODD: dict[str, tuple[bytes, str]] = {
    "no JSON": (http(b"<html>"), r"not a JSON document: .* Got: '<html>'"),
    "a list": (http(b"[]"), r"must be TensorFlow Serving's, at \$: \[\] is not of type 'object'"),
    "no outputs": (http(b"{}"), "'outputs' is a required property.*; is it another server"),
    "a number": (http(b'{"outputs": 1}'), r"must have the outputs \['count', 'epoch', 'logits'\]"),
    "deep": (http(b"[" * 9999), "more than 64 deep"),
    "another name": (answer(more=1), r"must have the outputs \['count',.* Got: \['count'"),
    "ragged": (answer(logits=[[1], [1, 2]]), r"`logits` of the answer must be float32\[2, 3\]"),
    "null": (answer(count=[None, 1]), r"`count` of the answer must be int32\[2\]. Got: object"),
    "text": (answer(logits=[["1"] * 3] * 2), r"`logits` .* must be float32\[2, 3\]"),
    "fraction": (answer(count=[1.5, 2]), r"`count` of the answer must be int32\[2\]. Got: float64"),
    "too large": (
        answer(count=[2**31, 2]),
        r"`count` of the answer must be int32\[2\]. Got: int64",
    ),
    "huge": (answer(count=[10**30, 2]), r"`count` of the answer must be int32\[2\]. Got: object"),
    "another shape": (
        answer(epoch=[7]),
        r"`epoch` of the answer must be int32\[\]. Got: int64\[1\]",
    ),
    "an error page": (http(b"nginx", "500 Oops"), "failed. Got: 500: nginx"),
    "an odd error": (http(b'{"error": [1]}', "400 Bad"), r"failed. Got: 400: \[1\]"),
    "a redirection": (http(b"", "301 Moved"), "failed. Got: 301"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_junk_answer_is_an_error_of_the_server(server: Server, name: str) -> None:
    data, rule = ODD[name]
    with pytest.raises(ServingError, match=rule):
        call(server, data)


@pytest.mark.parametrize(
    "data", [b"", b"junk\r\n\r\n", http(b"{}")[:-1]], ids=["none", "junk", "cut"]
)
def test_what_is_no_http_is_no_answer(server: Server, data: bytes) -> None:
    with pytest.raises(Interrupted, match=r"round at http.*:predict must answer within 5 s"):
        call(server, data)


def test_signatures_of_another_model_are_refused(server: Server) -> None:
    for tensor, rule in (
        ({"dtype": "DT_STRING", "tensor_shape": {}}, r"round: the tensor 'x' must be one of"),
        ({"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "-1"}]}}, r"Got: int32\[-1\]"),
        ({"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "9999999999"}]}}, "with at most"),
        ({"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": 1}]}}, r"dim\[0\].size: 1 is not"),
    ):
        signatures = {"round": {"inputs": {"x": tensor}, "outputs": {}}}
        metadata = {"metadata": {"signature_def": {"signature_def": signatures}}}
        server.answers[:] = [http(json.dumps(metadata).encode())]
        with pytest.raises(ServingError, match=rule):
            connect(server.address, model="tandem", options=OPTIONS)


def drip(listening: socket.socket, pieces: list[bytes]) -> None:
    peer, _ = listening.accept()
    with peer:
        for piece in pieces:
            try:
                peer.sendall(piece)
            except OSError:
                return
            time.sleep(0.2)


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"], ids=["head", "body"]
)
def test_the_deadline_is_that_of_the_whole_answer(first: bytes) -> None:
    """Each read comes in time; all of them together would take 20 s."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pieces = [first or b"HTTP/1.1 200 OK\r\nX: ", *[b"a"] * 100]
        threading.Thread(target=drip, args=(listening, pieces), daemon=True).start()
        started = time.monotonic()
        with pytest.raises(Interrupted, match=r"within 1 s .* Got: timed out"):
            connect(
                f"http://127.0.0.1:{listening.getsockname()[1]}",
                model="tandem",
                options=ClientOptions(deadline=1, retries=0),
            )
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("address", ["http://h:99999", "http://h:x", "http://[::1", "grpc://h:0"])
def test_an_address_that_cannot_be_one(address: str) -> None:
    with pytest.raises(ConfigError, match="`server` must be SCHEME://HOST:PORT"):
        connect(address, model="tandem")


def tensor(dtype: int, shape: list[int], **values: Any) -> Any:
    made = message("TensorProto")(dtype=dtype, **values)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize(
    "odd",
    [
        tensor(1, [2], tensor_content=b"12345"),
        tensor(1, [-1], float_val=[1.0]),
        tensor(3, [2**40], int_val=[1]),
        tensor(3, [1], int_val=[1, 2]),
        tensor(1, [3], tensor_content=b"12345678"),
    ],
    ids=["bytes", "negative", "huge", "more", "less"],
)
def test_a_tensor_message_has_the_values_of_its_shape(odd: Any) -> None:
    with pytest.raises(ServingError, match="a served tensor must have the values of its shape"):
        read_array(odd)


def test_metadata_that_holds_no_signatures() -> None:
    made = message("GetModelMetadataResponse")()
    made.metadata["signature_def"].value = b"\xff\xff"
    with pytest.raises(ServingError, match="the metadata must hold a SignatureDefMap"):
        read_signatures(made)
