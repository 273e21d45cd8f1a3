"""Clients against the stand-in: TensorFlow Serving's API in Python, over the same loader."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from tandem_export.errors import ConfigError, RequestError, ServingError
from tandem_export.serving import ClientOptions, Interrupted, NotHeld, connect
from tandem_export.serving.stand_in.server import StandIn
from tests.serving.bundles import every_role, local, model_folder
from tests.serving.calls import floats, generating, ints, sampling

PROMPTS = [[3], [1, 2, 3, 4]]
FAST = ClientOptions(deadline=120, retries=1, backoff=0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    made = StandIn(model_folder(every_role()), "tandem")
    yield made
    made.close()


@pytest.fixture(scope="module", params=["grpc", "rest"])
def client(request, server):
    address = server.grpc_address if request.param == "grpc" else server.rest_address
    made = connect(address, model="tandem", options=FAST)
    yield made
    made.close()


def test_the_signatures_are_those_of_the_model(client) -> None:
    assert client.signatures == local("every").signatures


@pytest.mark.parametrize("signature", ["generate_b2_s4", "serving_default"])
def test_generate_answers_as_in_process(client, signature) -> None:
    inputs = generating(PROMPTS, 4, 8, temperature=floats(0, 0.8), rule=ints(0, 1))
    want, got = local("every").call(signature, inputs), client.call(signature, inputs)
    assert want["count"].tolist() == [8, 8]
    assert set(got) == set(want)
    for name, value in want.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(got[name], value)


def test_a_signature_with_one_output_keeps_its_name(client) -> None:
    logits = np.random.default_rng(0).normal(size=(2, 17)).astype(np.float32)
    want = local("every").call("router_b2", {"logits": logits})
    np.testing.assert_allclose(
        client.call("router_b2", {"logits": logits})["acceptance"], want["acceptance"], rtol=1e-6
    )


def rest(server: StandIn, path: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(server.rest_address + path) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_model_status_is_answered_as_the_server_does(server: StandIn) -> None:
    """The form is that of https://www.tensorflow.org/tfx/serving/api_rest."""
    version = model_folder(every_role()).name
    status = {"error_code": "OK", "error_message": ""}
    one = {"version": version, "state": "AVAILABLE", "status": status}
    for path in ("", f"/versions/{version}"):
        assert rest(server, f"/v1/models/tandem{path}") == (200, {"model_version_status": [one]})
    for path in ("other", "tandem/versions/77"):
        code, answer = rest(server, f"/v1/models/{path}")
        name = path.partition("/")[0]
        error = f"Could not find any versions of model {name}"
        assert (code, answer) == (404, {"error": error})
    code, answer = rest(server, "/v1/nothing")
    assert code == 400 and answer["error"] == "Malformed request: GET /v1/nothing"


def test_model_status_over_grpc(server: StandIn) -> None:
    from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

    with grpc.insecure_channel(server.grpc_address.removeprefix("grpc://")) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = getattr(get_model_status_pb2, "GetModelStatusRequest")()  # noqa: B009
        request.model_spec.name = "tandem"
        (status,) = stub.GetModelStatus(request).model_version_status
        assert status.version == int(model_folder(every_role()).name)
        assert status.state == status.AVAILABLE
        request.model_spec.name = "other"
        with pytest.raises(grpc.RpcError, match="Could not find any versions of model other"):
            stub.GetModelStatus(request)


def test_a_port_in_use_is_named(server: StandIn) -> None:
    folder = model_folder(every_role())
    grpc_port, rest_port = (
        int(address.rpartition(":")[2]) for address in (server.grpc_address, server.rest_address)
    )
    with pytest.raises(ServingError, match=f"port {grpc_port} of localhost must be free"):
        StandIn(folder, "tandem", grpc_port=grpc_port)
    with pytest.raises(ServingError, match=f"port {rest_port} of localhost must be free"):
        StandIn(folder, "tandem", rest_port=rest_port)


BAD = {
    "long-prompt": ({"length": ints(5, 1)}, r"`length` must be within 1 \.\. 4. Got: 5 \(row 0\)"),
    "empty-prompt": ({"length": ints(1, 0)}, r"`length` must be within .*Got: 0 \(row 1\)"),
    "token": ({"tokens": np.array([[3, 0, 0, 0], [1, 17, 3, 4]], np.int32)}, r"Got: 17 \(row 1\)"),
    "temperature": ({"temperature": floats(0, -1)}, r"`temperature` .*Got: -1 \(row 1\)"),
    "too-many": ({"max_new_tokens": ints(9, 1)}, r"`max_new_tokens` must be within 0 \.\. 8"),
    "stop": ({"stop_tokens": np.full((2, 8), -2, np.int32)}, r"`stop_tokens` .* -1 \.\. 16"),
}


@pytest.mark.parametrize(("changed", "text"), BAD.values(), ids=BAD)
def test_a_bad_generate_says_which_row_breaks_which_rule(client, changed, text) -> None:
    with pytest.raises(RequestError, match=text):
        client.call("generate_b2_s4", generating(PROMPTS, 4, 8) | changed)


def test_what_stands_behind_a_prompt_does_not_matter(client) -> None:
    inputs = generating([[3], [1, 2]], 4, 8)
    other = inputs["tokens"].copy()
    other[:, 2:] = -5
    want, got = (
        client.call("generate_b2_s4", inputs | {"tokens": t}) for t in (inputs["tokens"], other)
    )
    np.testing.assert_array_equal(got["tokens"], want["tokens"])


def test_a_slot_of_another_is_told_apart(client) -> None:
    with pytest.raises(NotHeld):
        client.call("round_b2_g3", {"slots": ints(0, 8), "owner": ints(5), **sampling(2)})


def test_another_models_name_is_refused(server) -> None:
    for address in (server.grpc_address, server.rest_address):
        with pytest.raises(ServingError, match=r"NOT_FOUND|404"):
            connect(address, model="other", options=FAST)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_is_not_there(scheme) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Interrupted, match="is the server up"):
            connect(address, model="tandem", options=FAST)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_never_answers_hits_the_deadline(scheme) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        options = ClientOptions(deadline=0.3, retries=0)
        with pytest.raises(Interrupted, match=r"within 0\.3 s"):
            connect(address, model="tandem", options=options)


@pytest.mark.parametrize("address", ["localhost:8500", "ftp://localhost", "grpc://"], ids=str)
def test_an_address_names_its_scheme_and_host(address) -> None:
    with pytest.raises(ConfigError, match="SCHEME://HOST:PORT"):
        connect(address, model="tandem")


@pytest.mark.parametrize(
    "options",
    [
        {"deadline": 0},
        {"retries": -1},
        {"backoff": 0},
        {"private_key": "key.pem"},
        {"root_certificates": "nowhere.pem"},
    ],
    ids=["deadline", "retries", "backoff", "half-a-pair", "no-file"],
)
def test_options_check_themselves(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ClientOptions(**options)
