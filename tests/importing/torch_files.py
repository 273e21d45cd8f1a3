"""Writes files as `torch.save` does: `make goldens`."""

from __future__ import annotations

from pathlib import Path

import torch  # pyright: ignore[reportMissingImports]

FOLDER = Path(__file__).parent / "torch_files"


class Evil:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return open, ("written", "w")


def main() -> None:
    """Writes `torch_files/`."""
    FOLDER.mkdir(exist_ok=True)
    linear = torch.nn.Linear(3, 2)
    linear.load_state_dict(
        {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([6.0, 7.0])}
    )
    state = {
        "model": linear.state_dict(),
        "parameter": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T),
        "part": torch.arange(12.0).reshape(3, 4)[1:, ::2],
        "half": torch.tensor([1.5], dtype=torch.float16),
        "double": torch.tensor([2.5], dtype=torch.float64),
        "brain": torch.tensor([3.5], dtype=torch.bfloat16),
        "ids": torch.tensor([1, -2]),
        "scalar": torch.tensor(4.0),
        "list": [torch.zeros(1), (torch.ones(1), 2)],
        "step": 70_000,
        "rate": 0.1,
        "none": None,
    }
    for protocol in (2, 4):
        torch.save(state, FOLDER / f"every_kind_{protocol}.pt", pickle_protocol=protocol)
    torch.save({"a": torch.zeros(1), "b": Evil()}, FOLDER / "evil.pt")
    torch.save({}, FOLDER / "old.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
