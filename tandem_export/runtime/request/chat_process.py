"""The process that renders chat templates, as the one who starts it sees it (chat_child.py)."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from tandem_export.errors import RequestError
from tandem_export.jsontypes import JsonObject

# A long chat renders in milliseconds.
SECONDS = 10.0
_START_SECONDS = 60.0
# Of the process, and of what it may answer: a prompt of a million tokens has some 5 MB.
_MEMORY, _ANSWER = 2**30, 2**26
_ENDED = "the end of its process, as if out of memory"
_CHILD = Path(__file__).with_name("chat_child.py")


class TemplateProcess:
    """One process for all templates of this one; it starts with the first that is rendered.

    Calls from several threads take turns. After a fork, or when it has ended, it starts again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, template: str, names: JsonObject) -> str:
        """Returns the text that the template makes of its names, which are JSON values.

        Raises:
          RequestError: the template is broken, refuses the names, or takes too long or too much.
          ModuleNotFoundError: jinja2 is not installed.
        """
        try:
            request = json.dumps({"template": template, "names": names}).encode() + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise RequestError(f"messages must be values of JSON. Got: {error}") from error
        with self._lock:
            answer = self._ask(request)
        if "error" in answer:
            raise RequestError(f"the chat template cannot take these messages: {answer['error']}")
        return answer["text"]

    def close(self) -> None:
        """Ends the process; another starts when it is needed."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            _close_pipes(process)

    def forget(self) -> None:
        """Leaves the process to the parent of a fork, which may be using it."""
        process, self._process, self._lock = self._process, None, threading.Lock()
        if process is not None:
            process.returncode = 0  # it is no child of this one
            _close_pipes(process)

    def _ask(self, request: bytes) -> dict[str, str]:
        process = self._running()
        try:
            line = _exchange(process, request, SECONDS)
        except BaseException:  # an interrupt leaves an answer behind that nobody waits for
            self.close()
            raise
        return json.loads(line)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        if find_spec("jinja2") is None:
            raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")
        self._process = _started()
        try:
            _exchange(self._process, b"", _START_SECONDS)
        except BaseException:
            self.close()
            raise
        return self._process


def _started() -> subprocess.Popen[bytes]:
    try:
        # -P: this folder's modules must not stand in for those of the standard library. In a
        # session of its own, Ctrl-C ends the caller alone.
        return subprocess.Popen(
            [sys.executable, "-P", str(_CHILD), str(_MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        rule = "chat templates run in a process of their own, which must start"
        raise RequestError(f"{rule}. Got: {error}") from error


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes:
    """Writes a request and reads a line, both within `seconds`."""
    assert process.stdin is not None and process.stdout is not None
    deadline, line = time.monotonic() + seconds, bytearray()
    source, sink = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(sink, False)
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        if request:
            selector.register(sink, selectors.EVENT_WRITE)
        while not line.endswith(b"\n"):
            ready = {key.fd for key, _ in selector.select(max(0, deadline - time.monotonic()))}
            if not ready:
                raise _refused(f"no prompt in {seconds:g} s")
            if sink in ready:
                request = request[_written(sink, request) :]
                if not request:
                    selector.unregister(sink)
            if source in ready:
                piece = os.read(source, 2**20)
                line += piece
                if not piece or len(line) > _ANSWER:
                    raise _refused("a prompt that is too long" if piece else _ENDED)
    return bytes(line)


def _written(sink: int, request: bytes) -> int:
    try:
        return os.write(sink, request[:65536])
    except BrokenPipeError as error:
        raise _refused(_ENDED) from error


def _refused(got: str) -> RequestError:
    return RequestError(f"the chat template must make a prompt of the messages. Got: {got}")


PROCESS = TemplateProcess()
atexit.register(PROCESS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.forget)
