"""Counters and histograms for Prometheus, under the stems of vLLM's names where they mean the same.

`tandem_num_requests_running` is vLLM's `vllm:num_requests_running`, and so on. Those without a
counterpart there say so. Sums are those of the requests' own statistics.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tandem_export.runtime import AnswerSeen, Engine, RoundSeen

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60)
_PER_TOKEN = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 1)


class Metrics:
    """An `Observer` whose registry Prometheus reads."""

    def __init__(self, engine: Engine) -> None:
        """Watches `engine` from now on."""
        self.registry = CollectorRegistry()
        self._make_gauges(engine)
        self._make_counters()
        self._make_histograms()
        engine.observe(self)

    def text(self) -> bytes:
        """Returns everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _make_gauges(self, engine: Engine) -> None:
        for number, (name, what) in enumerate(
            (("running", "Requests in slots, or about to be."), ("waiting", "Requests in line."))
        ):
            gauge = Gauge(f"tandem_num_requests_{name}", what, registry=self.registry)
            gauge.set_function(lambda number=number: engine.load[number])

    def _counter(self, stem: str, what: str, *labels: str) -> Counter:
        return Counter(f"tandem_{stem}", what, labels, registry=self.registry)

    def _make_counters(self) -> None:
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts.")
        self._queries = self._counter("prefix_cache_queries", "Prompt tokens looked for.")
        self._hits = self._counter("prefix_cache_hits", "Prompt tokens that a kept row had.")
        self._tokens = self._counter("generation_tokens", "Tokens of answers.")
        self._wasted = self._counter(
            "wasted_tokens", "Tokens behind a stop in their block (not in vLLM)."
        )
        self._answers = self._counter(
            "request_success", "Answers by why they ended.", "finished_reason"
        )
        self._failures = self._counter(
            "request_failure", "Answers that an error ended (not in vLLM).", "reason"
        )
        self._drafts = self._counter("spec_decode_num_drafts", "Drafts.")
        self._drafted = self._counter("spec_decode_num_draft_tokens", "Drafted tokens.")
        self._accepted = self._counter("spec_decode_num_accepted_tokens", "Accepted tokens.")
        self._accepted_at = self._counter(
            "spec_decode_num_accepted_tokens_per_pos", "By place in the draft.", "position"
        )
        self._rounds = self._counter(
            "rounds", "Rounds by graph and batch (not in vLLM).", "role", "gamma", "batch"
        )
        self._rows = self._counter("round_rows", "Rows of all rounds (not in vLLM).")

    def _histogram(self, stem: str, what: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(f"tandem_{stem}_seconds", what, buckets=buckets, registry=self.registry)

    def _make_histograms(self) -> None:
        self._first = self._histogram("time_to_first_token", "From admission to the first token.")
        self._per_token = self._histogram(
            "time_per_output_token", "Between tokens, by answer.", _PER_TOKEN
        )
        self._whole = self._histogram("e2e_request_latency", "From admission to the end.")
        self._queue = self._histogram("request_queue_time", "In line.")
        self._prefill = self._histogram("request_prefill_time", "In prefill.")
        self._round = self._histogram("round", "Inside the executor (not in vLLM).", _PER_TOKEN)

    def on_round(self, seen: RoundSeen) -> None:
        """Counts a round."""
        self._rounds.labels(seen.kind.role, seen.kind.gamma, seen.batch).inc()
        self._rows.inc(seen.rows)
        self._round.observe(seen.seconds)

    def on_answer(self, seen: AnswerSeen) -> None:
        """Counts an answer that has ended."""
        stats = seen.stats
        if seen.reason in ("stop", "length", "cancelled"):
            self._answers.labels(seen.reason).inc()
        else:
            self._failures.labels(seen.reason).inc()
        self._prompt.inc(stats.prompt_tokens)
        self._queries.inc(stats.prompt_tokens)
        self._hits.inc(stats.reused_tokens)
        self._tokens.inc(stats.tokens)
        self._wasted.inc(stats.wasted)
        self._drafts.inc(stats.drafted_at[0] if stats.drafted_at else 0)
        self._drafted.inc(stats.drafted)
        self._accepted.inc(stats.accepted)
        for place, accepted in enumerate(stats.accepted_at):
            self._accepted_at.labels(place).inc(accepted)
        self._time(seen)

    def _time(self, seen: AnswerSeen) -> None:
        stats = seen.stats
        if not stats.tokens:
            return
        whole = stats.queued_seconds + stats.seconds
        self._first.observe(stats.first_token_seconds)
        self._whole.observe(whole)
        self._queue.observe(stats.queued_seconds)
        self._prefill.observe(stats.prefill_seconds)
        if stats.tokens > 1:
            self._per_token.observe((whole - stats.first_token_seconds) / (stats.tokens - 1))
