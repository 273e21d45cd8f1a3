"""From a bundle on disk to an engine that is warm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime.engine import MOST_WAITING, Engine
from tandem_export.runtime.executors import ExecutorSpec, make_executor
from tandem_export.runtime.request.admission import round_kind
from tandem_export.runtime.request.chat import ChatTemplate
from tandem_export.runtime.request.params import Mode, SamplingParams
from tandem_export.runtime.rounds.buckets import batches_of, limits_of
from tandem_export.runtime.service.slots import drivers_of
from tandem_export.serving import ClientOptions
from tandem_export.storage import load_tokenizer, read_text


def load(
    path: str | Path,
    *,
    executor: ExecutorSpec | str = "jax",
    batch: int | Sequence[int] | None = None,
    gamma: int | None = None,
    driver: str = "fused",
    modes: Sequence[Mode | SamplingParams] = ("speed", "primary"),
    compilation_cache: str | Path | None = None,
    threads: int | None = None,
    serving: ClientOptions | None = None,
    allow_expired: bool = False,
    verify_key: str | Path | None = None,
    most_waiting: int = MOST_WAITING,
    prefix_bytes: int = 0,
) -> Engine:
    """Opens a bundle, checks its hashes, and compiles what `modes` need.

    Args:
      path: the bundle's folder.
      executor: which engine runs the graphs: `jax`, `onnxruntime`, `openvino`, `tensorflow`, or
        `tf-serving:ADDRESS`. `onnxruntime:mapped` and `openvino:mapped` hold no copy of the
        weights; `openvino:bfloat16` computes in bfloat16; `openvino:bfloat16+mapped` is both.
      batch: slots, one of the bundle's batch buckets; None is the smallest. Of several the engine
        uses the one that its load asks for, and moves rows from one to the other.
      gamma: the default longest draft; None is the largest bucket up to 5.
      driver: `fused`, or `steps` to run each round step by step: for debugging, and what executors
        over ONNX graphs do in any case.
      modes: compiled now; parameters stand for the graphs that serve requests with them. Another
        mode or gamma compiles when a request first asks for it; the statistics count that.
      compilation_cache: a folder where compiled graphs are kept between runs.
      threads: of `onnxruntime` and `openvino`; None is all cores of the process.
      serving: deadline, retries and certificates of `tf-serving`; see `tandem_export.serving`.
      allow_expired: open the bundle although a part of it has passed its date.
      verify_key: the minisign public key of whoever must have signed the bundle: its file, or the
        text in it; see SECURITY.md. None asks for no signature.
      most_waiting: how many requests may wait for a slot; one more is refused.
      prefix_bytes: memory for the prefilled rows of prompts; a prompt that begins like a kept one
        leaves out the chunks that both have. Not for `tensorflow` and `tf-serving`.

    Raises:
      BundleError: not a bundle, damaged, expired, not signed by `verify_key`, with a graph that
        does more than its role may, or without the graphs that are needed.
      ConfigError: an unknown executor, driver or batch.
      RequestError: a mode or gamma that the bundle has no graph for.
    """
    spec = ExecutorSpec.parse(executor)
    bundle = open_bundle(path, allow_expired=allow_expired, verify_key=verify_key)
    bundle = bundle.in_form(spec.form)
    batches = _batches(bundle, batch)
    runner = make_executor(
        spec,
        bundle,
        batch=batches[0],
        batches=batches[1:],
        compilation_cache=compilation_cache,
        threads=threads,
        serving=serving,
    )
    text = read_text(bundle.tokenizer_path, error=BundleError)
    tokenizer = load_tokenizer(text, error=BundleError)
    limits, independent = (
        limits_of(bundle, batches, gamma),
        bundle.manifest.model.kind == "independent",
    )
    # Before the engine has its thread: Ctrl-C then ends the wait for a compiler, and `load`.
    drivers = drivers_of(runner, driver, independent=independent)
    for mode in modes:
        params = mode if isinstance(mode, SamplingParams) else SamplingParams(mode=mode)
        drivers.warm_up(round_kind(params, limits)[0])
    return Engine(
        runner,
        limits,
        tokenizer,
        chat=_chat(bundle, tokenizer),
        driver=driver,
        independent=independent,
        most_waiting=most_waiting,
        prefix_bytes=prefix_bytes,
    )


def _chat(bundle: Bundle, tokenizer: Tokenizer) -> ChatTemplate | None:
    model, text = bundle.manifest.model, bundle.chat_template
    return (
        None if text is None else ChatTemplate(text, tokenizer, model.begin_token, model.end_tokens)
    )


def _batches(bundle: Bundle, batch: int | Sequence[int] | None) -> list[int]:
    """Returns the batch buckets that are used, in ascending order."""
    buckets = batches_of(bundle)
    if batch is None:
        return buckets[:1]
    wanted = [batch] if isinstance(batch, int) else sorted(set(batch))
    if not wanted or not set(wanted) <= set(buckets):
        rule = f"`batch` must be one of the bundle's buckets {buckets}"
        raise ConfigError(f"{rule}. Got: {batch}")
    return wanted
