"""Makes a checkpoint from a primary and a drafter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tandem_export.checkpoint import Checkpoint, naming, read_text, write_checkpoint
from tandem_export.config import TandemConfig, default_layer_map
from tandem_export.config_file import read_config
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.importing.drafting import copied_layers, keep_tokens, matched
from tandem_export.importing.foreign import read_own_pair
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.importing.native import TandemPart, is_orbax, read_orbax_pair
from tandem_export.importing.options import DTYPES, ImportOptions
from tandem_export.importing.read import read_source
from tandem_export.importing.source import Source
from tandem_export.importing.text import chosen_text, fitted, vocabulary_of
from tandem_export.jsontypes import JsonObject
from tandem_export.progress import Progress, silent
from tandem_export.tokenizer import Text


def import_checkpoint(
    options: ImportOptions,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Checkpoint:
    """Writes the checkpoint folder `out` and returns it as read back.

    Weights are mapped or dequantised tensor by tensor: one is in memory at a time.

    Args:
      options: what to read.
      out: the folder.
      overwrite: replace a checkpoint that stands there.
      progress: called after each tensor, which is read twice: to write it, and to compare.

    Raises:
      CheckpointError: a source that cannot be read, or parts that do not fit each other.
      ConfigError: options that exclude each other, or a config that breaks a rule.
    """
    config, params, text, facts = _gather(options)
    text, notes = fitted(chosen_text(options, text), config.primary.vocab_size)
    facts |= {"tokenizer": {"notes": notes}} if notes else {}
    return write_checkpoint(
        out,
        config=config,
        vocabulary=vocabulary_of(text),
        tokenizer_json=text.tokenizer_json,
        chat_template=text.chat_template,
        params=_counted(_cast(params, options.dtype), progress),
        provenance={"imported": facts},
        overwrite=overwrite,
    )


Gathered = tuple[TandemConfig, Mapping[str, Mapping[str, LazyTensor]], Text | None, JsonObject]


def _gather(options: ImportOptions) -> Gathered:
    if is_orbax(Path(options.primary)) or options.config is not None:
        return _pair(options)
    primary = read_source(options.primary, "primary")
    drafter = _drafter(options, primary)
    if options.drafter_vocabulary is not None:
        drafter = keep_tokens(drafter, _ids(options.drafter_vocabulary))
    part = None if options.tandem is None else TandemPart(options.tandem)
    router = None if part is None else part.router_config(drafter.config.width, options.tau)
    config = TandemConfig(
        primary=primary.config,
        drafter=drafter.config,
        kind="independent" if part is None else "tandem",
        layer_map=() if part is None else _layer_map(options, primary, drafter),
        router=router,
    )
    params = {"primary": primary.tensors, "drafter": drafter.tensors}
    facts = {"primary": primary.facts, "drafter": drafter.facts}
    if part is not None:
        params["drafter"] = {**drafter.tensors, **part.drafter}
        params |= {"router": part.router} if router else {}
        facts["tandem"] = part.facts
    return config, params, primary.text, facts


def _pair(options: ImportOptions) -> Gathered:
    """Gathers a pair under this project's names in Orbax, or under others in a file of tensors."""
    source = Path(options.primary)
    if options.config is None:
        raise ConfigError("an Orbax folder needs `config`, the configuration of its pair")
    with naming(options.config.name):
        config = read_config(options.config)
    if is_orbax(source):
        arrays = read_orbax_pair(source, config)
        params = {
            part: {n: lazy(a) for n, a in part_arrays.items()}
            for part, part_arrays in arrays.items()
        }
        return config, params, None, {"format": "orbax", "folder": source.name}
    facts = {"format": "own", "file": source.name}
    return config, read_own_pair(source, config, options.map_file), None, facts


def _drafter(options: ImportOptions, primary: Source) -> Source:
    if options.drafter_layers:
        return copied_layers(primary, options.drafter_layers)
    if options.drafter is None:
        raise ConfigError(
            "a pair needs a drafter: pass `drafter` or `drafter_layers`. Got: neither"
        )
    return matched(primary, read_source(options.drafter, "drafter"))


def _layer_map(options: ImportOptions, primary: Source, drafter: Source) -> tuple[int, ...]:
    sizes = (primary.config.num_layers, drafter.config.num_layers)
    return options.layer_map or default_layer_map(*sizes)


def _ids(path: Path) -> Sequence[int]:
    with naming(path.name):
        try:
            values = json.loads(read_text(path))
        except ValueError as error:
            raise CheckpointError(f"must be a JSON list of token ids: {error}") from error
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise CheckpointError(f"must be a JSON list of token ids. Got: {str(values)[:40]}")
    return values


def _cast(
    params: Mapping[str, Mapping[str, LazyTensor]], dtype: str | None
) -> Mapping[str, Mapping[str, LazyTensor]]:
    if dtype is None:
        return params
    kind = DTYPES[dtype]
    return {
        part: {n: t if t.dtype in (kind, np.int32) else t.cast(kind) for n, t in tensors.items()}
        for part, tensors in params.items()
    }


def _counted(
    params: Mapping[str, Mapping[str, LazyTensor]], progress: Progress
) -> Mapping[str, Mapping[str, LazyTensor]]:
    """Returns the tensors, each reporting when it was read."""
    total, done = 2 * sum(map(len, params.values())), iter(range(1, 10**9))

    def watched(part: str, name: str, tensor: LazyTensor) -> LazyTensor:
        return tensor.then(lambda: progress(next(done), total, f"{part}.{name}"))

    return {
        part: {n: watched(part, n, t) for n, t in tensors.items()}
        for part, tensors in params.items()
    }
