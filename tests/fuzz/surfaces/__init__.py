"""Every surface by its name."""

from __future__ import annotations

from tests.fuzz.surface import Surface
from tests.fuzz.surfaces import bundles, checkpoints, options, serving, sources, texts

SURFACES: dict[str, Surface] = {
    "manifest": Surface(prepare=bundles.prepare, run=bundles.manifest),
    "bundle-files": Surface(prepare=bundles.prepare, run=bundles.files),
    "bundle-weights": Surface(prepare=bundles.prepare, run=bundles.weights),
    "artifact": Surface(prepare=bundles.prepare_export, run=bundles.artifact, cheap=False),
    "checkpoint": Surface(prepare=checkpoints.prepare, run=checkpoints.document),
    "safetensors": Surface(prepare=checkpoints.prepare, run=checkpoints.tensors),
    "tokenizer": Surface(prepare=checkpoints.prepare, run=checkpoints.tokenizer),
    "hugging-face": Surface(prepare=sources.prepare_folder, run=sources.folder),
    "gguf": Surface(prepare=sources.prepare_gguf, run=sources.gguf),
    "chat-template": Surface(prepare=texts.prepare, run=texts.template),
    "chat-request": Surface(prepare=texts.prepare, run=texts.request),
    "rest": Surface(prepare=serving.prepare_rest, run=serving.rest),
    "grpc": Surface(prepare=serving.prepare_messages, run=serving.messages),
    "saved-model": Surface(prepare=serving.prepare_model, run=serving.model, cheap=False),
    "options": Surface(prepare=options.prepare, run=options.records),
    "command-line": Surface(prepare=bundles.prepare, run=options.command_line, cheap=False),
}
