"""Every surface by its name."""

from __future__ import annotations

from tests.fuzz.surface import Surface

SURFACES: dict[str, Surface] = {
    "manifest": Surface(module="bundles", run="manifest"),
    "bundle-files": Surface(module="bundles", run="files"),
    "bundle-weights": Surface(module="bundles", run="weights"),
    "artifact": Surface(module="bundles", run="artifact", prepare="prepare_export", cheap=False),
    "checkpoint": Surface(module="checkpoints", run="document"),
    "safetensors": Surface(module="checkpoints", run="tensors"),
    "tokenizer": Surface(module="checkpoints", run="tokenizer"),
    "hugging-face": Surface(module="sources", run="folder", prepare="prepare_folder"),
    "gguf": Surface(module="sources", run="gguf", prepare="prepare_gguf"),
    "chat-template": Surface(module="texts", run="template"),
    "chat-request": Surface(module="texts", run="request"),
    "rest": Surface(module="serving", run="rest", prepare="prepare_rest"),
    "grpc": Surface(module="serving", run="messages", prepare="prepare_messages"),
    "saved-model": Surface(module="serving", run="model", prepare="prepare_model", cheap=False),
    "options": Surface(module="options", run="records"),
    "command-line": Surface(
        module="options", run="command_line", prepare="prepare_bundle", cheap=False
    ),
}


def find_surface(name: str) -> Surface:
    """The surface of that name, or of `module:run`."""
    module, colon, run = name.partition(":")
    return Surface(module=module, run=run) if colon else SURFACES[name]
