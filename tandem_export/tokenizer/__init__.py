"""Vocabularies of other formats as one `tokenizer.json`, their special tokens, chat templates."""

from tandem_export.tokenizer.added import added_texts, within_rows
from tandem_export.tokenizer.gguf import read_gguf_vocabulary
from tandem_export.tokenizer.hugging_face import read_hugging_face
from tandem_export.tokenizer.text import Text, begin_token, token_texts, with_special

__all__ = [
    "Text",
    "added_texts",
    "begin_token",
    "read_gguf_vocabulary",
    "read_hugging_face",
    "token_texts",
    "with_special",
    "within_rows",
]
