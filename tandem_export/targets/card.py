"""The card of a bundle, its README.md: what is inside, where it comes from, what it claims."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tandem_export.bundle import Manifest
from tandem_export.jsontypes import Json

NAME = "README.md"
_CLAIMS = {
    "P0": "P0, exact: greedy text, and text sampled under the `gumbel` rule, is the primary's own, "
    "bit for bit, at the same verification width",
    "P1": "P1, numeric: greedy text is the primary's own but at near-ties",
}
# How much of a provenance is shown.
_MOST = 20_000


def bundle_card(manifest: Manifest, parity: Iterable[str], parameters: Mapping[str, int]) -> str:
    """Returns the card as Markdown.

    Args:
      manifest: of the bundle, without its graphs and files.
      parity: the levels of its graphs.
      parameters: part -> how many it has.
    """
    model, provenance = manifest.model, manifest.checkpoint.provenance
    sizes = ", ".join(f"{part} {count:,}" for part, count in parameters.items())
    ends = [f"{part}: {end or 'no end'}" for part, end in sorted(manifest.not_after.items())]
    claims = "\n".join(f"* {_CLAIMS[level]}" for level in sorted(set(parity)))
    return f"""# {manifest.name}

A {model.kind} pair for speculative decoding, exported by tandem-export. Parameters: {sizes}.
A vocabulary of {model.vocab_size:,} tokens. Weights and activations: {manifest.options.dtype}.

## Licence

{_licence(provenance)}

## What it claims

{claims}
* P2, distribution: text sampled under the `leviathan` rule has the primary's distribution.

`tandem-export verify .` tests this. The standalone modes verify nothing and claim nothing.
Usable until: {", ".join(ends)}.

## Acceptance

{_acceptance(provenance)}

## Provenance

What the checkpoint says of itself:

```json
{_shown(provenance)}
```

Its files:

{_files(manifest.checkpoint.source)}
"""


def _licence(provenance: Mapping[str, Json]) -> str:
    named = [provenance.get(key) for key in ("licence", "license")]
    stated = next((value for value in named if isinstance(value, str)), None)
    if stated is None:
        return "The checkpoint states none. Ask whoever made the weights before you pass them on."
    return f"Of the weights, as the checkpoint states it: {stated}."


def _acceptance(provenance: Mapping[str, Json]) -> str:
    """Returns how often drafts are right, if the checkpoint's maker measured it."""
    measures = provenance.get("measures")
    if measures is None:
        return (
            "Not stated by the checkpoint. `tandem-export bench .` measures it: how many drafts a "
            "round commits decides what speculation gains."
        )
    return (
        "Measured by the checkpoint's maker: `measures` below. `tandem-export bench .` measures it "
        "with this bundle."
    )


def _shown(provenance: Mapping[str, Json]) -> str:
    text = json.dumps(provenance, indent=1, ensure_ascii=False).replace("```", "'''")
    return text if len(text) <= _MOST else f"{text[:_MOST]}\n... ({len(text)} characters in all)"


def _files(source: Mapping[str, str]) -> str:
    return "\n".join(f"* {name}: sha256 `{digest}`" for name, digest in sorted(source.items()))
