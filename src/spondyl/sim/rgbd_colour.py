"""What a colour camera makes of light: blur, white balance, exposure, noise, sRGB code in 256 steps."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_texture import blurred

GREY = 0.22  # linear level to which full metering brings the mean of the picture


@dataclass(frozen=True)
class ColourCamera:
    """A colour camera.

    Args:
        exposure_ev: exposure over the metered one, powers of two.
        metering: how far the camera makes up for a dark or bright scene: 0 not at all, 1 wholly.
        red_gain, blue_gain: white balance, as far as it is wrong; green is 1.
        blur_px: Gaussian sigma of lens, mosaic and resampling.
        noise: standard deviation at half of full scale, linear; it grows with the root of the light.
        shading: darkening in the corners.
    """

    exposure_ev: float = field(default=0.0, metadata=between(-0.5, 0.4))
    metering: float = field(default=0.6, metadata=between(0.5, 0.9))
    red_gain: float = field(default=1.0, metadata=between(0.9, 1.12))
    blue_gain: float = field(default=1.0, metadata=between(0.86, 1.12))
    blur_px: float = field(default=0.65, metadata=between(0.5, 0.9))
    noise: float = field(default=0.01, metadata=between(0.004, 0.018))
    shading: float = field(default=0.12, metadata=between(0.05, 0.25))

    def __post_init__(self) -> None:
        check_settings(self, positive=("red_gain", "blue_gain"))


def photographed(
    light: Float[Tensor, "3 h w"], camera: ColourCamera, *, generator: torch.Generator
) -> Float[Tensor, "3 h w"]:
    """The picture in sRGB code, [0, 1] in steps of 1/255, of linear RGB light."""
    h, w = light.shape[1:]
    level = float(light.mean().clamp(min=1e-4))
    gain = 2**camera.exposure_ev * (GREY / level) ** camera.metering
    seen = blurred(light, camera.blur_px)
    seen = seen * seen.new_tensor([gain * camera.red_gain, gain, gain * camera.blue_gain])[:, None, None]
    v = torch.linspace(-1, 1, h, device=light.device)[:, None]
    u = torch.linspace(-1, 1, w, device=light.device)
    seen = seen * (1 - camera.shading * (v * v + u * u) / 2)
    noise = torch.randn(light.shape, generator=generator, device=generator.device).to(light.device)
    noise = blurred(noise, 0.45)
    seen = seen + camera.noise * (2 * seen.clamp(min=0.005)).sqrt() * noise
    return (srgb(seen) * 255).round() / 255


def srgb(linear: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """Linear light in [0, 1] in the code of IEC 61966-2-1; what exceeds 1 is white, softly above 0.8 as cameras do it."""
    # a shoulder that leaves 0 to 0.8 alone and never reaches 1
    over = (linear - 0.8).clamp(min=0)
    x = torch.where(linear > 0.8, 0.8 + 0.2 * over / (over + 0.2), linear).clamp(0, 1)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308).pow(1 / 2.4) - 0.055)
