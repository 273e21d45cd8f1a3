"""TensorFlow functions around the methods: one compiled step each, and the error behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tandem_export.serving import refusal
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.savedmodel.write.resources import Resident

Tensors = dict[str, tf.Tensor]


def input_specs(method: Method) -> dict[str, tf.TensorSpec]:
    """Returns the inputs of a signature, by name."""
    return {
        name: tf.TensorSpec(leaf.shape, tf.as_dtype(leaf.dtype), name=name)
        for name, leaf in sorted(method.inputs.items())
    }


def answer(texts: list[str], done: Mapping[str, Any]) -> Tensors:
    """Returns the outputs, or the error of a refused call."""
    if not texts:
        return dict(done["outputs"])
    with tf.control_dependencies([_raise_refusal(texts, done["problem"])]):
        return {name: tf.identity(value) for name, value in done["outputs"].items()}


def _raise_refusal(texts: list[str], problem: Tensors) -> Any:
    rule = tf.gather(tf.constant(["", *map(refusal, texts)]), problem["code"])
    got = tf.strings.as_string(problem["got"], shortest=True)
    row = tf.strings.as_string(problem["row"])
    return tf.debugging.Assert(
        tf.equal(problem["code"], 0), [tf.strings.join([rule, got, " (row ", row, ")"])]
    )


def session_signature(
    method: Method,
    texts: list[str],
    converted: Callable[..., Any],
    weights: Mapping[str, tf.Variable],
    state: Mapping[str, Resident],
) -> Any:
    """Returns the signature of a method with state.

    `converted` is `method.apply` under TensorFlow, `weights` and `state` are what it reads.

    Reading, computing and writing are one compiled function: TensorFlow runs those that share a
    variable one after the other, so concurrent calls lose nothing. The error comes after it; a
    refused call has changed no slot but the scratch one.
    """

    @tf.function(jit_compile=True, autograph=False)
    def atomic(inputs: Tensors) -> dict[str, Any]:
        read = {name: variable.read() for name, variable in state.items()}
        done = converted(dict(weights), {"inputs": inputs, "state": read})
        for name, value in done["state"].items():
            state[name].assign(value)
        return {"outputs": done["outputs"], "problem": done["problem"]}

    @tf.function(input_signature=[input_specs(method)], autograph=False)
    def signature(inputs: Tensors) -> Tensors:
        return answer(texts, atomic(inputs))

    return signature
