"""Smooth random textures in space, in millimetres: the same point of the body has the same value in every picture of it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

PERIOD = 32  # cells after which a texture repeats
# A rotation about (1, 2, 3) by 0.7 rad: hills of a lattice lie in rows, and none of ours along x, y or z.
TURN = (
    (0.7816392, -0.4829293, 0.3947398),
    (0.5501172, 0.8320300, -0.0713925),
    (-0.2939579, 0.2729563, 0.9160151),
)


def texture(
    points_mm: Float[Tensor, "n 3"], cell_mm: float | tuple[float, float, float], *, generator: torch.Generator
) -> Float[Tensor, "n"]:
    """Noise of mean 0 and variance about 1 whose hills are some `cell_mm` wide; it repeats every PERIOD cells.

    Args:
        points_mm: where, world mm.
        cell_mm: size of the hills, the same in all directions or (x, y, z).
    """
    device = points_mm.device
    grid = torch.randn((PERIOD,) * 3, generator=generator, device=generator.device).to(device)
    cells = grid.new_tensor([cell_mm] * 3 if isinstance(cell_mm, int | float) else list(cell_mm))
    turned = points_mm @ grid.new_tensor(TURN).T
    at = torch.remainder(turned / cells, PERIOD)
    whole = at.floor()
    part = at - whole
    part = part * part * (3 - 2 * part)  # flat at the lattice's points: no ridges
    # one cell more on each side, so that the last neighbours the first
    wrapped = functional.pad(grid[None, None], (0, 1) * 3, mode="circular")
    place = (whole + part) * (2 / PERIOD) - 1
    values = functional.grid_sample(wrapped, place[None, None, None], align_corners=True)[0, 0, 0, 0]
    return values * 1.6  # between the lattice's points interpolation takes some of the variance away


def blurred(picture: Float[Tensor, "c h w"], sigma_px: float) -> Float[Tensor, "c h w"]:
    """A Gaussian blur; pixels beyond the border repeat the last ones. Wide ones are made on a coarser grid."""
    if sigma_px <= 0.05:
        return picture
    coarse = 1
    while sigma_px / coarse > 4 and min(picture.shape[1:]) // (2 * coarse) >= 8:
        coarse *= 2
    small = picture
    if coarse > 1:
        h, w = picture.shape[1:]
        small = functional.pad(picture[None], (0, -w % coarse, 0, -h % coarse), mode="replicate")
        small = functional.avg_pool2d(small, coarse)[0]
    sigma = max((sigma_px / coarse) ** 2 - (0.15 if coarse > 1 else 0.0), 0.05) ** 0.5
    reach = max(1, round(3 * sigma))
    taps = [2.718281828459045 ** (-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1)]
    weights = [t / sum(taps) for t in taps]
    for axis in (1, 2):
        pad = (reach, reach, 0, 0) if axis == 2 else (0, 0, reach, reach)
        wide = functional.pad(small[None], pad, mode="replicate")[0]
        n = small.shape[axis]
        total = torch.zeros_like(small)
        for k, weight in enumerate(weights):
            total.add_(wide.narrow(axis, k, n), alpha=weight)
        small = total
    if coarse == 1:
        return small
    wide = functional.interpolate(small[None], scale_factor=coarse, mode="bilinear", align_corners=False)[0]
    return wide[:, : picture.shape[1], : picture.shape[2]]
