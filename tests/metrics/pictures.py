"""Smooth random pictures and volumes in [0, 1], and a coarser look at them, for the tests of image metrics."""

import torch
from torch.nn import functional


def smooth(*shape: int, seed: int) -> torch.Tensor:
    """ "n 1 *space", float64, correlated over about three pixels."""
    x = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool3d
    return pool(functional.pad(x, [1] * 2 * (x.ndim - 2), mode="replicate"), 3, stride=1)


def pair(*shape: int, seed: int = 0, mix: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures that share 1 - mix of what they show."""
    a, b = smooth(*shape, seed=seed), smooth(*shape, seed=seed + 1000)
    return (1 - mix) * a + mix * b, a
