"""A decoder step written by hand in ONNX: the fastest form known, to hold what is exported against.

Operators of opset 23 that are one kernel (RMSNormalization, RotaryEmbedding), and plain products
where those are faster (attention). Plain decoders only: no biases, softcaps, windows, extra norms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.config import DecoderConfig
from tandem_export.model.rotary import inverse_frequencies

_OPSET, _IR = 23, 10
_MASKED = -1e30


def hand_graph(graph: GraphRecord, who: str, config: DecoderConfig) -> ModelProto:
    """The step of decoder `who` at the bucket of `graph`; weights are inputs, by bundle name.

    Inputs, caches, logits and the decoder's own rows have the names and shapes of `graph`.
    """
    step = _Step(graph, who, config)
    step.build()
    read = {name for node in step.nodes for name in node.input}
    inputs = [s for s in (*graph.inputs, *graph.state, *graph.params) if s.name in read]
    outputs = [s for s in graph.outputs if s.name.startswith(("logits", f"rows.{who}"))]
    body = helper.make_graph(
        step.nodes, "hand", _infos(inputs), _infos(outputs), initializer=step.constants
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(body, opset_imports=opsets, ir_version=_IR)


def _infos(specs: Iterable[TensorSpec]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(
            spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape
        )
        for spec in specs
    ]


class _Step:
    """Nodes and constants, as they are added."""

    def __init__(self, graph: GraphRecord, who: str, config: DecoderConfig) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.who, self.config = who, config
        self.B, self.T, self.S = graph.batch, graph.width or 1, graph.state[0].shape[2]
        self.last_only = graph.role == "drafter_step"

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, name: str) -> str:
        return f"{self.who}.{name}.weight"

    def norm(self, x: str, name: str) -> str:
        return self.add("RMSNormalization", x, self.weight(name), epsilon=self.config.norm_eps)

    def build(self) -> None:
        config, B, T = self.config, self.B, self.T
        self._positions_and_masks()
        x = self.add("Gather", self.weight("embedding"), "tokens")
        x = self.add("Mul", x, self.constant(config.embedding_scale, np.float32))
        for layer in range(config.num_layers):
            x = self._layer(x, layer)
        x = self.norm(x, "final_norm")
        if self.last_only:
            x = self.add("Gather", x, self.ints(T - 1), axis=1)
        tied = config.tied_embedding
        flat = self.add("Reshape", x, self.ints(-1, config.width))
        head = self.weight("embedding" if tied else "head")
        logits = self.add("Gemm", flat, head, transB=int(tied))
        shape = (B, config.vocab_size) if self.last_only else (B, T, config.vocab_size)
        self.add("Reshape", logits, self.ints(*shape), out="logits")

    def _positions_and_masks(self) -> None:
        """Places `[B, T]`; what the scores of old places `[S]` and of the block `[M, T]` lose."""
        T, S, group = self.T, self.S, self.config.num_heads // self.config.num_kv_heads
        start = self.add("Unsqueeze", "start", self.ints(1))
        wide = self.add("Cast", start, to=onnx.TensorProto.INT64)
        self.places = self.add("Add", wide, self.ints(*range(T)))
        old = self.add("Less", self.constant([np.arange(S)], np.int32), start)
        zero, masked = self.constant(0, np.float32), self.constant(_MASKED, np.float32)
        self.old = self.add("Unsqueeze", self.add("Where", old, zero, masked), self.ints(1, 2))
        seen = np.tile(np.tril(np.ones((T, T), bool)), (group, 1))
        self.own = self.constant(np.where(seen, 0, _MASKED), np.float32)
        frequency = inverse_frequencies(self.config.head_size, self.config.rope, local=False)
        angle = np.arange(S, dtype=np.float32)[:, None] * frequency
        self.turns = (
            self.constant(np.cos(angle), np.float32),
            self.constant(np.sin(angle), np.float32),
        )

    def _layer(self, x: str, layer: int) -> str:
        name = f"layers.{layer}"
        mixed = self._attention(self.norm(x, f"{name}.attention_norm"), layer)
        out = self.add("MatMul", mixed, self.weight(f"{name}.attention.o"))
        x = self.add("Add", x, out)
        h = self.norm(x, f"{name}.ff_norm")
        gate, up = (self.add("MatMul", h, self.weight(f"{name}.ff.{w}")) for w in ("gate", "up"))
        active = self.add("Mul", self.add("Mul", gate, self.add("Sigmoid", gate)), up)
        return self.add("Add", x, self.add("MatMul", active, self.weight(f"{name}.ff.down")))

    def _attention(self, h: str, layer: int) -> str:
        config, B, T = self.config, self.B, self.T
        N, K, H = config.num_heads, config.num_kv_heads, config.head_size
        q = self._rotated(self._projected(h, layer, "q"), N)
        k = self._rotated(self._projected(h, layer, "k"), K)
        k_rows, v_rows = (f"rows.{self.who}_{x}.{layer:02}" for x in "kv")
        self._heads(k, K, k_rows)
        self._heads(self._projected(h, layer, "v"), K, v_rows)
        grouped = self.add("Reshape", self._heads(q, N), self.ints(B, K, N // K * T, H))
        scaled = self.add("Mul", grouped, self.constant(config.scale, np.float32))
        k_old, v_old = (f"{self.who}_{x}.{layer:02}" for x in "kv")
        parts = self._scores(scaled, k_old, self.old), self._scores(scaled, k_rows, self.own)
        weights = self.add("Softmax", self.add("Concat", *parts, axis=-1), axis=-1)
        past, own = self._split(weights)
        mixed = self.add("Add", self.add("MatMul", past, v_old), self.add("MatMul", own, v_rows))
        by_head = self.add("Reshape", mixed, self.ints(B, N, T, H))
        by_row = self.add("Transpose", by_head, perm=[0, 2, 1, 3])
        return self.add("Reshape", by_row, self.ints(B, T, N * H))

    def _projected(self, h: str, layer: int, which: str) -> str:
        return self.add("MatMul", h, self.weight(f"layers.{layer}.attention.{which}"))

    def _rotated(self, x: str, heads: int) -> str:
        return self.add("RotaryEmbedding", x, *self.turns, self.places, num_heads=heads)

    def _heads(self, x: str, heads: int, out: str | None = None) -> str:
        shape = self.ints(self.B, self.T, heads, self.config.head_size)
        return self.add("Transpose", self.add("Reshape", x, shape), perm=[0, 2, 1, 3], out=out)

    def _scores(self, q: str, k: str, mask: str) -> str:
        turned = self.add("Transpose", k, perm=[0, 1, 3, 2])
        return self.add("Add", self.add("MatMul", q, turned), mask)

    def _split(self, weights: str) -> tuple[str, str]:
        names = f"{weights}.past", f"{weights}.own"
        self.nodes.append(
            helper.make_node("Split", [weights, self.ints(self.S, self.T)], names, axis=-1)
        )
        return names
