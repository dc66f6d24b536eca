"""The projector to read: Joseph's sum in plain torch, differentiable (twice) in the volume and in the view.

Every fast path must give these numbers to float32 rounding; `tests/xray/test_parity.py` holds them to it.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from spondyl.xray.lines import Lines

# Planes sampled at once: bounds the memory to chunk x pixels coordinates, and gives torch's CPU sampler, which is
# parallel over the batch only, enough batch items to use every core.
PLANES_AT_ONCE = 16


def march(channels: Float[Tensor, "m z y x"], lines: Lines) -> Float[Tensor, "m h w"]:
    """Sum over planes of the bilinear sample where each line crosses the plane; zero outside the grid.

    Unit: the channels' own; times `lines.step_mm` it is the line integral. Joseph 1982, equation 5.
    """
    planes = channels.movedim(3 - lines.axis, 1)  # [m, k, b, a]: b and a are the two axes left, in (z, y, x) order
    nb, na = planes.shape[2:]
    x_mid, dx, y_mid, dy = lines.coefficients
    total = channels.new_zeros((channels.shape[0], *x_mid.shape))
    for first in range(0, planes.shape[1], PLANES_AT_ONCE):
        chunk = planes[:, first : first + PLANES_AT_ONCE].movedim(1, 0)
        k = torch.arange(first, first + len(chunk), dtype=x_mid.dtype, device=x_mid.device)
        t = (k - lines.k_mid)[:, None, None]
        x, y = x_mid + t * dx, y_mid + t * dy
        # grid_sample's [-1, 1] with align_corners=False: -1 is the outer face of the first voxel
        grid = torch.stack([(2 * x + 1) / na - 1, (2 * y + 1) / nb - 1], dim=-1)
        sampled = grid_sample(chunk, grid.to(chunk.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
        total = total + sampled.sum(dim=0)
    return total
