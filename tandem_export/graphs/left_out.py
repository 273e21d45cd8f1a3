"""Says which roles and buckets of a build have no graph, and what would fit."""

from __future__ import annotations

from dataclasses import dataclass

from tandem_export.config import TandemConfig
from tandem_export.contract import Role
from tandem_export.errors import ConfigError
from tandem_export.graphs.options import BuildOptions


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A role, or one prompt bucket of it, without a graph; `reason` says what would fit."""

    role: Role
    width: int | None
    reason: str

    def __str__(self) -> str:
        bucket = "" if self.width is None else f" of prompt bucket {self.width}"
        return f"`{self.role}`{bucket} is not built: {self.reason}"


def left_out(config: TandemConfig, options: BuildOptions) -> tuple[LeftOut, ...]:
    """Returns what of `options` cannot be built, in the order of roles, then buckets.

    Raises:
      ConfigError: nothing is left of a role that `options.roles` names.
    """
    router: tuple[Role, ...] = () if config.router is not None else ("router", "round_router")
    without = [
        LeftOut(role=role, width=None, reason="the checkpoint has no router") for role in router
    ]
    tight = [
        LeftOut(role="generate", width=width, reason=_too_long(options, width))
        for width in options.prompt
        if options.room_of_generate(width) > options.cache
    ]
    gone = tuple(one for one in (*without, *tight) if one.role in options.wanted_roles)
    for one in gone:
        if one.role in options.roles and (one.width is None or len(tight) == len(options.prompt)):
            hint = "Change that, or leave the role out of `roles`."
            raise ConfigError(f"`roles` asks for graphs that cannot be built: {one}. {hint}")
    return gone


def _too_long(options: BuildOptions, width: int) -> str:
    need = options.room_of_generate(width)
    most = options.max_new - (need - options.cache)
    parts = f"the prompt, `max_new` {options.max_new} and drafts of {options.gamma_of_generate}"
    shorter = f", or `max_new` of at most {most}" if most > 0 else ""
    return (
        f"{parts} take {need} positions, and `cache` is {options.cache}; it fits with `cache` of "
        f"at least {need}{shorter}"
    )
