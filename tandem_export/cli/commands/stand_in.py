"""`tandem-export stand-in`."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from tandem_export.cli.options import common, verified
from tandem_export.cli.output import needs, print_json, waiting
from tandem_export.cli.places import BUNDLE
from tandem_export.errors import BundleError

_PORT = click.IntRange(0, 65535)


@click.command(
    "stand-in",
    epilog="""\b
Examples:
  tandem-export stand-in build/demo
  tandem-export stand-in build/demo --rest-port 0 --grpc-port 0""",
)
@BUNDLE
@click.option("--model", metavar="NAME", default="tandem", help="The model's name.")
@click.option("--grpc-port", type=_PORT, metavar="PORT", default=8500, help="0 is any.")
@click.option("--rest-port", type=_PORT, metavar="PORT", default=8501, help="0 is any.")
@verified
@common
def stand_in(
    bundle: Path,
    model: str,
    grpc_port: int,
    rest_port: int,
    verify_key: str | None,
    as_json: bool,
) -> None:
    """Serves the SavedModel of the bundle in DIR as TensorFlow Serving would, for trying it out.

    It listens on localhost until it is interrupted, and is no server for production: one model, no
    batching, no limits.
    """
    from tandem_export.bundle import open_bundle

    folder = _version_folder(open_bundle(bundle, verify_key=verify_key).path)
    with needs("tensorflow"):
        from tandem_export.serving.stand_in import StandIn

        with waiting(f"loading {folder}", quiet=as_json):
            server = StandIn(folder, model, grpc_port=grpc_port, rest_port=rest_port)
    try:
        if as_json:
            print_json({"grpc": server.grpc_address, "rest": server.rest_address})
        else:
            click.echo(f"model {model}, version {folder.name}: {server.grpc_address}")
            click.echo(f"{server.rest_address}/v1/models/{model}")
        threading.Event().wait()
    finally:
        server.close()


def _version_folder(bundle: Path) -> Path:
    """Returns the newest version in the bundle's SavedModel.

    Raises:
      BundleError: there is none.
    """
    versions = [path for path in bundle.glob("savedmodel/*") if path.name.isdigit()]
    if not versions:
        hint = "Build it with --format savedmodel"
        raise BundleError(f"the bundle {bundle} has no SavedModel. {hint}")
    return max(versions, key=lambda path: int(path.name))
