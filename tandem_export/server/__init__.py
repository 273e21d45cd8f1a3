"""`tandem-export serve`: a bundle behind OpenAI's HTTP interface. Needs the extra `server`."""

from tandem_export.server.app import create_app
from tandem_export.server.options import ServerOptions

__all__ = ["ServerOptions", "create_app"]
