"""Reading files that somebody else wrote: regular ones only, of bounded size, into checked values.

Knows the errors alone; checkpoint, bundle and importing read through it. Each function takes the
class of error that it raises, and names the file in the text.
"""

from tandem_export.storage.fields import Fields
from tandem_export.storage.files import (
    TEXT_LIMIT,
    hash_file,
    open_regular,
    read_bytes,
    read_text,
    refuse_pointer,
)
from tandem_export.storage.folders import link_tree, replace_folder, staging
from tandem_export.storage.gguf import GgufHeader, TensorRecord, read_gguf_header
from tandem_export.storage.json_text import (
    JSON_DEPTH,
    JSON_LIMIT,
    parse_json,
    read_json,
    read_json_object,
)
from tandem_export.storage.links import refuse_links_outside
from tandem_export.storage.memory import return_free_memory
from tandem_export.storage.schema import first_breach, make_validator
from tandem_export.storage.tensors import (
    CODES,
    HasShape,
    TensorPlace,
    locate_tensors,
    map_tensors,
    numpy_dtype,
)
from tandem_export.storage.tokenizer_json import (
    encode_text,
    load_tokenizer,
    native_errors,
    tokenizer_text,
)

__all__ = [
    "CODES",
    "JSON_DEPTH",
    "JSON_LIMIT",
    "TEXT_LIMIT",
    "Fields",
    "GgufHeader",
    "HasShape",
    "TensorPlace",
    "TensorRecord",
    "encode_text",
    "first_breach",
    "hash_file",
    "link_tree",
    "load_tokenizer",
    "locate_tensors",
    "make_validator",
    "map_tensors",
    "native_errors",
    "numpy_dtype",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_gguf_header",
    "read_json",
    "read_json_object",
    "read_text",
    "refuse_links_outside",
    "refuse_pointer",
    "replace_folder",
    "return_free_memory",
    "staging",
    "tokenizer_text",
]
