"""An owner's tandem pair in PyTorch: its weights as a state dict, its outputs as a reference.

python examples/own_weights/owner.py FOLDER writes state.pt, reference.npz and tokenizer.json there.
It shares no code with tandem-export; names, orientation and rotary pairs are the owner's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from tokenizers import Tokenizer, models
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

VOCABULARY, HEAD, THETA, TOP_K = 64, 8, 10_000.0, 4
LAYER_MAP = (1, 3)  # drafter layer j reads the primary's activation LAYER_MAP[j]
SEQUENCES, LENGTH, PREFIX = 3, 24, 16


class RMSNorm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.2 * torch.randn(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises the last axis."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def rotary(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Turns the interleaved pairs of `[B, T, heads, H]`."""
    freq = THETA ** (-torch.arange(0, HEAD, 2) / HEAD)
    turn = torch.polar(torch.ones(()), positions[:, None, None] * freq)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2)


class Block(nn.Module):
    """One layer."""

    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int) -> None:
        super().__init__()
        self.wq = nn.Linear(width, heads * HEAD, bias=False)
        self.wk = nn.Linear(width, kv_heads * HEAD, bias=False)
        self.wv = nn.Linear(width, kv_heads * HEAD, bias=False)
        self.wo = nn.Linear(heads * HEAD, width, bias=False)
        self.w1, self.w3 = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.share = heads // kv_heads

    def key_value(self, x: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keys and values `[B, T, heads, H]` of input rows."""
        h = self.norm1(x)
        k, v = (linear(h).unflatten(-1, (-1, HEAD)) for linear in (self.wk, self.wv))
        return tuple(t.repeat_interleave(self.share, 2) for t in (rotary(k, positions), v))

    def forward(self, x, positions, before=None) -> torch.Tensor:
        """Output rows; `before` are keys and values of earlier positions, all of them seen."""
        k, v = self.key_value(x, positions)
        if before is not None:
            k, v = torch.cat([before[0], k], 1), torch.cat([before[1], v], 1)
        q = rotary(self.wq(self.norm1(x)).unflatten(-1, (-1, HEAD)), positions)
        mask = torch.ones(q.shape[1], k.shape[1]).tril(k.shape[1] - q.shape[1]).bool()
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        x = x + self.wo(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class Model(nn.Module):
    """A decoder with a tied head."""

    def __init__(self, layers: int, width: int, heads: int, kv_heads: int, hidden: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList([Block(width, heads, kv_heads, hidden) for _ in range(layers)])
        self.norm = RMSNorm(width)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """`[B, T, V]`."""
        return self.norm(x) @ self.tokens.weight.T


class Pair(nn.Module):
    """Primary, drafter, projections, router."""

    def __init__(self) -> None:
        super().__init__()
        self.target, self.draft = Model(3, 32, 4, 2, 48), Model(2, 16, 2, 1, 24)
        self.link = nn.ModuleList([nn.Linear(32, 16, bias=False) for _ in LAYER_MAP])
        self.gate_in, self.gate_out = nn.Linear(1 + TOP_K + TOP_K * 16, 32), nn.Linear(32, 1)

    def primary(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Activations: the embedding, then the output of every layer."""
        activations = [self.target.tokens(tokens)]
        for block in self.target.blocks:
            activations.append(block(activations[-1], torch.arange(tokens.shape[1])))
        return activations

    def drafter(self, tokens: torch.Tensor, activations: list[torch.Tensor]) -> torch.Tensor:
        """Logits of the rows from PREFIX on, which see projected rows before themselves."""
        early, late = torch.arange(PREFIX), torch.arange(PREFIX, tokens.shape[1])
        x = self.draft.tokens(tokens[:, PREFIX:])
        blocks: Any = self.draft.blocks
        for block, link, source in zip(blocks, self.link, LAYER_MAP, strict=True):
            projected = link(activations[source][:, :PREFIX])
            x = block(x, late, block.key_value(projected, early))
        return self.draft.logits(x)

    def router(self, logits: torch.Tensor) -> torch.Tensor:
        """The chance that the primary accepts a token drawn from these logits."""
        q = logits.softmax(-1)
        entropy = -(q * q.log()).sum(-1, keepdim=True)
        top, ids = q.topk(TOP_K)
        features = torch.cat([entropy, top, self.draft.tokens(ids).flatten(-2)], -1)
        return self.gate_out(F.gelu(self.gate_in(features), approximate="tanh")).sigmoid()[..., 0]


def main(folder: str) -> None:
    """Writes the three files."""
    torch.manual_seed(0)
    pair, tokens = Pair(), torch.randint(VOCABULARY, (SEQUENCES, LENGTH))
    with torch.no_grad():
        activations = pair.primary(tokens)
        drafted = pair.drafter(tokens, activations)
        outputs = {
            "primary.logits": pair.target.logits(activations[-1]),
            "drafter.logits": drafted,
            "router.acceptance": pair.router(drafted),
        }
    arrays: Any = {name: tensor.numpy() for name, tensor in outputs.items()}
    np.savez(Path(folder, "reference.npz"), tokens=tokens.numpy(), prefix=PREFIX, **arrays)
    torch.save(pair.state_dict(), Path(folder, "state.pt"))
    words = {"<end>": 0} | {f"w{i}": i for i in range(1, VOCABULARY)}
    Tokenizer(models.WordLevel(words, unk_token="<end>")).save(f"{folder}/tokenizer.json")


if __name__ == "__main__":
    main(sys.argv[1])
