"""The network of the readers: a small U-Net at half the picture's resolution, and what each of its outputs means."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spondyl.reading.marks import READ_LEVELS

STRIDE = 2  # a cell of the output is two pixels wide
MULTIPLE = 32  # sides of a picture: five levels of the U-Net below the stride
UNIT_PX = 16.0  # offsets are learnt in this unit
LOG_SPREAD = (-4.0, 3.0)  # of UNIT_PX
CHANNELS_IN = 2


@dataclass(frozen=True, eq=False)
class Maps:
    """What the network says of every cell; logits unless said otherwise.

    Args:
        centre: that the middle of a vertebra lies here.
        inside: that the cell lies within a vertebra.
        lateral: that the picture is taken from the side.
        level: of the vertebra, one channel a place in READ_LEVELS.
        offset_px: from the cell's middle to every point of its vertebra, (v, u), pixels.
        log_spread: log of the Laplace scale of each point's coordinates, in units of UNIT_PX.
    """

    centre: Float[Tensor, "b h w"]
    inside: Float[Tensor, "b h w"]
    lateral: Float[Tensor, "b h w"]
    level: Float[Tensor, "b l h w"]
    offset_px: Float[Tensor, "b k 2 h w"]
    log_spread: Float[Tensor, "b k 2 h w"]


class ReaderNet(nn.Module):
    """Pictures to Maps. A U-Net of MONAI with group normalisation, after a rearrangement of 2 x 2 pixels into channels."""

    def __init__(self, points: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        from monai.networks.nets.basic_unet import BasicUNet

        self.points = points
        self.unet = BasicUNet(
            spatial_dims=2,
            in_channels=CHANNELS_IN * STRIDE**2,
            out_channels=3 + len(READ_LEVELS) + 4 * points,
            features=widths,
            act=("relu", {"inplace": True}),
            norm=("group", {"num_groups": 8}),
        )

    def forward(self, pictures: Float[Tensor, "b c h w"]) -> Maps:
        """Sides of the pictures are multiples of MULTIPLE."""
        cells = functional.pixel_unshuffle(pictures, STRIDE)
        out = self.unet(cells).float()
        k, levels = self.points, len(READ_LEVELS)
        offset, spread = (part.unflatten(1, (k, 2)) for part in out[:, 3 + levels :].split(2 * k, dim=1))
        return Maps(
            out[:, 0], out[:, 1], out[:, 2], out[:, 3 : 3 + levels], offset * UNIT_PX, spread.clamp(*LOG_SPREAD)
        )

    def stages(self, pictures: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Features after each of the five levels of the way down, each half as fine as the one before."""
        x = functional.pixel_unshuffle(pictures, STRIDE)
        found = [self.unet.conv_0(x)]
        for down in (self.unet.down_1, self.unet.down_2, self.unet.down_3, self.unet.down_4):
            found.append(down(found[-1]))
        return found


def cell_centres_px(h: int, w: int, device: torch.device | None = None) -> Float[Tensor, "2 h w"]:
    """Pixel positions (v, u) of the middles of the output's cells."""
    v, u = (torch.arange(n, dtype=torch.float32, device=device) * STRIDE + (STRIDE - 1) / 2 for n in (h, w))
    return torch.stack(torch.meshgrid(v, u, indexing="ij"))
