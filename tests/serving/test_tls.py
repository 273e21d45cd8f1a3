"""TLS on both wires, with certificates that are made for the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

import tandem_export
from tandem_export import SamplingParams
from tandem_export.serving import ClientOptions, Interrupted, connect
from tandem_export.serving.stand_in.server import StandIn, Tls
from tests.serving.bundles import local, model_folder, rounds_only
from tests.serving.calls import ints


class Files(NamedTuple):
    """PEM files: an authority, and pairs of key and certificate that it signed."""

    authority: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    pairs = []
    for name in ("localhost", "client@example.org"):
        issued = authority.issue_cert(name)
        pair = folder / f"{name}-key.pem", folder / f"{name}.pem"
        issued.private_key_pem.write_to_path(str(pair[0]))
        issued.cert_chain_pems[0].write_to_path(str(pair[1]))
        pairs.append(pair)
    return Files(folder / "authority.pem", pairs[0], pairs[1])


def serve(files: Files, *, mutual: bool) -> StandIn:
    key, certificate = files.server
    clients = files.authority if mutual else None
    tls = Tls(private_key=key, certificate=certificate, clients=clients)
    return StandIn(model_folder(rounds_only()), "tandem", tls=tls)


@pytest.fixture(scope="module")
def one_sided(files) -> Iterator[StandIn]:
    with closing(serve(files, mutual=False)) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(files) -> Iterator[StandIn]:
    with closing(serve(files, mutual=True)) as server:
        yield server


def check(address: str, scheme: str, **trust: Any) -> None:
    """Connects, which asks for the signatures, and calls one."""
    assert address.startswith(f"{scheme}://")
    options = ClientOptions(retries=0, deadline=20, **trust)
    with closing(connect(address, model="tandem", options=options)) as client:
        assert client.signatures == local("rounds").signatures
        assert client.call("release", {"owner": ints(5)})["owners"].any() == 0


def test_an_engine_passes_the_certificates_on(mutual, files) -> None:
    key, certificate = files.client
    engine = tandem_export.load(
        rounds_only().path,
        executor=f"tf-serving:{mutual.grpc_address}",
        modes=(),
        serving=ClientOptions(
            root_certificates=files.authority, private_key=key, certificate=certificate
        ),
    )
    params = SamplingParams(max_new_tokens=3, gamma=1, ignore_end_tokens=True)
    (result,) = engine.generate([[1, 2, 3]], params)
    assert len(result.tokens) == 3


def addresses(server: StandIn) -> dict[str, str]:
    return {"grpcs": server.grpc_address, "https": server.rest_address}


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_server_of_a_trusted_authority_is_called(one_sided, files, scheme) -> None:
    check(addresses(one_sided)[scheme], scheme, root_certificates=files.authority)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_server_of_an_unknown_authority_is_not(one_sided, scheme) -> None:
    with pytest.raises(Interrupted, match=r"(?i)certificate.verify.failed"):
        check(addresses(one_sided)[scheme], scheme)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_client_shows_its_certificate_where_the_server_asks(mutual, files, scheme) -> None:
    key, certificate = files.client
    pair = {"private_key": key, "certificate": certificate}
    check(addresses(mutual)[scheme], scheme, root_certificates=files.authority, **pair)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_client_without_one_is_turned_away(mutual, files, scheme) -> None:
    with pytest.raises(Interrupted, match="is the server up"):
        check(addresses(mutual)[scheme], scheme, root_certificates=files.authority)
