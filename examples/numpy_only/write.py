"""Continues a text with ONNX Runtime: no jax, no TensorFlow, nothing to compile.

python examples/numpy_only/write.py BUNDLE PROMPT
"""

from __future__ import annotations

import sys

import tandem_export
from tandem_export import SamplingParams


def main(bundle: str, prompt: str) -> None:
    """Writes the text as it comes, then how much of it was drafted."""
    with tandem_export.load(bundle, executor="onnxruntime") as engine:
        accepted = tokens = 0
        for delta in engine.stream(prompt, SamplingParams(max_new_tokens=24)):
            print(delta.text, end="", flush=True)
            accepted, tokens = accepted + delta.accepted, tokens + len(delta.tokens)
    print(f"\n{accepted} of {tokens} tokens were drafted by the small model", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
