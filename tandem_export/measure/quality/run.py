"""Evaluates a bundle, or several of them on the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tandem_export.errors import ConfigError
from tandem_export.measure.quality.loop import SAMPLINGS, measure_acceptance
from tandem_export.measure.quality.report import Evaluation
from tandem_export.measure.quality.scoring import groups, score_pair
from tandem_export.measure.quality.subject import Subject, check_same_tokens, open_subject
from tandem_export.measure.quality.texts import evenly_spread, read_texts
from tandem_export.progress import Progress, silent
from tandem_export.runtime import Engine, load
from tandem_export.runtime.executors import ExecutorSpec


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What is evaluated.

    Attributes:
      blocks: block lengths; a drafter that does not see the primary is measured once.
      tokens: about how many of the text's tokens are counted, from all over it.
      window: the most tokens that a pair reads in one piece; fewer where a cache is shorter.
      prompts: answers of the loop for each way of sampling; 0 leaves the loop out.
      max_new_tokens: length of the longest of them.
      gamma: the longest draft of the loop; None is the engine's.
      executor: which engine runs the graphs; None is one that a bundle has graphs for.
      batch: a batch bucket; None is the smallest.
      threads, compilation_cache, allow_expired: as in `load`.
    """

    blocks: tuple[int, ...] = (1, 2, 4, 8)
    tokens: int = 4096
    window: int = 256
    prompts: int = 8
    max_new_tokens: int = 64
    gamma: int | None = None
    executor: ExecutorSpec | str | None = None
    batch: int | None = None
    threads: int | None = None
    compilation_cache: str | Path | None = None
    allow_expired: bool = False

    def __post_init__(self) -> None:
        lows = {"tokens": 1, "window": 2, "prompts": 0, "max_new_tokens": 1}
        for name, low in lows.items():
            if getattr(self, name) < low:
                raise ConfigError(f"`{name}` must be at least {low}. Got: {getattr(self, name)}")
        if not self.blocks or min(self.blocks) < 1:
            raise ConfigError(f"`blocks` must be numbers of at least 1. Got: {list(self.blocks)}")


def evaluate(
    paths: Sequence[str | Path],
    text: Path,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress = silent,
    verify_key: str | Path | None = None,
) -> list[Evaluation]:
    """Measures one bundle, or several on the same tokens.

    Args:
      paths: the bundles' folders.
      text: a file; see `read_texts`.
      options: what is evaluated.
      progress: called before each step of a bundle.
      verify_key: as in `open_bundle`, of every bundle.

    Raises:
      BundleError: a bundle cannot be used, or lacks the graphs of single steps.
      ConfigError: an option that does not fit a bundle, or bundles that do not compare.
      RequestError: a text that cannot be evaluated.
    """
    given = options or EvaluateOptions()
    subjects = [
        open_subject(
            path,
            given.executor,
            given.batch,
            allow_expired=given.allow_expired,
            verify_key=verify_key,
        )
        for path in paths
    ]
    check_same_tokens(subjects)
    window = min(given.window, *(subject.room for subject in subjects))
    return [_evaluate(subject, text, window, given, progress) for subject in subjects]


def _evaluate(
    subject: Subject, text: Path, window: int, options: EvaluateOptions, progress: Progress
) -> Evaluation:
    model, name = subject.bundle.manifest.model, subject.bundle.manifest.name
    engine = _load(subject, options)
    assert engine.tokenizer is not None, "`load` reads the bundle's tokenizer"
    every = read_texts(
        text,
        engine.tokenizer,
        engine.chat,
        window=window,
        begin=model.begin_token,
        ends=model.end_tokens,
    )
    texts = evenly_spread(every, options.tokens)
    blocks = options.blocks if model.kind == "tandem" else (None,)
    turns = len(groups(texts, subject.batch)) * (1 + len(blocks))
    total = turns + (len(SAMPLINGS) if options.prompts else 0)
    done = iter(range(total + 1))

    def report(what: str) -> None:
        progress(next(done), total, f"{name}: {what}")

    primary, drafter = score_pair(engine.executor, subject.width, texts, blocks, report)
    loop = measure_acceptance(
        engine,
        texts,
        count=options.prompts,
        max_new_tokens=options.max_new_tokens,
        gamma=options.gamma,
        report=report,
    )
    evaluation = Evaluation(
        bundle=name,
        executor=str(subject.executor),
        texts=len(texts),
        primary=primary,
        drafter=drafter,
        acceptance=tuple(loop) if options.prompts else (),
    )
    report("done")
    return evaluation


def _load(subject: Subject, options: EvaluateOptions) -> Engine:
    return load(
        subject.bundle.path,
        executor=subject.executor,
        batch=subject.batch,
        modes=(),
        compilation_cache=options.compilation_cache,
        threads=options.threads,
        allow_expired=options.allow_expired,
    )
