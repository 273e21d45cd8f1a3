"""The drafter: a decoder that can attend to projected primary rows (paper, section 3)."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.model.decoder import Decoder, KeyValue
from tandem_export.model.layers import Linear
from tandem_export.model.vocabulary import VocabularyMap


class Drafter(Decoder):
    """A decoder plus, when tandem, one projection per layer from primary width to its own.

    Tokens and logits are the primary's, also where the drafter's own vocabulary is smaller.
    """

    def __init__(self, config: TandemConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config.drafter, rngs=rngs)
        sizes = (config.primary.width, config.drafter.width)
        self.projection = nnx.List([Linear(*sizes, rngs=rngs) for _ in config.layer_map])
        self.layer_map = config.layer_map
        sizes = (config.primary.vocab_size, config.drafter.vocab_size)
        self.vocabulary = VocabularyMap(*sizes) if config.is_reduced else None

    def embed(self, tokens: Int[Array, "B T"]) -> Float[Array, "M D"]:
        """Returns scaled input embedding, rows flattened to M = B * T."""
        return super().embed(tokens if self.vocabulary is None else self.vocabulary.row_of(tokens))

    def logits(self, x: Float[Array, "M D"]) -> Float[Array, "M V"]:
        """Applies final norm, output head and soft-cap; float32, over the primary's vocabulary."""
        drafter_logits = super().logits(x)
        return drafter_logits if self.vocabulary is None else self.vocabulary.spread(drafter_logits)

    def prefix_key_value(
        self, primary_activations: list[Float[Array, "M D"]], positions: Int[Array, "B T"]
    ) -> list[KeyValue]:
        """Returns drafter keys and values for positions that the primary has processed.

        yhat^j = projection[j](x^{layer_map[j]}), then the layer's own pre-norm, W_K, W_V and rotary
        embedding, exactly as for its own rows (decision 3).
        """
        return [
            layer.key_value(projection(primary_activations[source]), positions)
            for layer, projection, source in zip(
                self.layers, self.projection, self.layer_map, strict=True
            )
        ]
