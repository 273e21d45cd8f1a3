"""Renders chat templates in a process of its own: `python -P chat_child.py BYTES`.

A template is a program that came with a model, and no sandbox inside a process bounds its time and
memory. This one has little memory, and whoever started it ends it when time is up. It reads
requests from its input and writes answers to its output, each a line of JSON; it ends with its
input. It imports nothing of the package, so that it starts soon.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):
    """`{% generation %}` marks what the model wrote, for training; a prompt has it as it stands."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's name)

    def parse(self, parser: Parser) -> nodes.Node:
        """Returns what stands between the tags, in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


@lru_cache(maxsize=8)
def _compiled(text: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json  # pyright: ignore[reportUnknownMemberType]
    return environment.from_string(text, {"raise_exception": _refuse, "strftime_now": _now})


def _rendered(request: dict[str, Any]) -> dict[str, str]:
    """Returns `text`, or `error` with what was wrong."""
    try:
        return {"text": _compiled(request["template"]).render(**request["names"])}
    except MemoryError:
        return {"error": "it needs more memory than a template may have"}
    except RecursionError:
        return {"error": "it calls itself too deeply"}
    except TemplateError as error:
        return {"error": str(error)}
    except Exception as error:  # a template can do what any program can do wrong
        return {"error": f"{type(error).__name__}: {error}"}


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def main() -> None:
    """Serves requests until the input ends."""
    _limit_memory(int(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_rendered(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
