"""A real server in this process: uvicorn in a thread, over a toy engine or any other."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tandem_export.runtime import ChatTemplate, Engine, Limits
from tandem_export.runtime.testing import CACHE, DRAFTER, V, toy_tokenizer
from tandem_export.server.app import create_app
from tandem_export.server.options import ServerOptions
from tests.runtime.service.gate import GatedExecutor

TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if messages|length > 9 %}{{ raise_exception('too long a talk') }}{% endif %}"
)


def served_engine(
    batch: int = 2, *, most_waiting: int = 64, driver: str = "fused", chat: bool = True
) -> tuple[Engine, GatedExecutor]:
    executor, tokenizer = GatedExecutor(batch, DRAFTER), toy_tokenizer()
    limits = Limits(
        batch=batch,
        cache=CACHE,
        vocab_size=V,
        gammas={"round": (0, 3, 5), "round_router": (3, 5)},
        gamma=3,
        tau=0.5,
    )
    template = ChatTemplate(TEMPLATE, tokenizer, None, [0]) if chat else None
    engine = Engine(
        executor, limits, tokenizer, driver=driver, chat=template, most_waiting=most_waiting
    )
    return engine, executor


@contextmanager
def serving(engine: Engine, **options: object) -> Iterator[str]:
    """Yields the server's address; `options` are those of `ServerOptions`."""
    app = create_app(engine, ServerOptions(**{"model": "toy", **options}))  # pyright: ignore[reportArgumentType]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            engine.close(drain=False)
