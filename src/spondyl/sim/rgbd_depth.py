"""What a time-of-flight depth camera makes of exact depth: noise, bias, shallow hollows, flying pixels, holes, shadow."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_texture import blurred

REFERENCE_SIGNAL = 0.55  # return of skin that faces the camera: near-infrared albedo times cosine
EDGE_MM = 25.0  # a step in depth of this much within two pixels is an edge
HOLLOW_MM = 22.0  # width over which a hollow is told from its surroundings
MOST_SHALLOW_MM = 3.0
WAVE_PX = 110.0


@dataclass(frozen=True)
class DepthCamera:
    """An amplitude-modulated time-of-flight camera; the defaults follow an Azure Kinect in its narrow mode.

    Args:
        noise_mm, noise_mm_per_m2: noise on skin that faces the camera, sd = noise_mm + noise_mm_per_m2 z^2, z in m.
        correlation_px: Gaussian sigma of that noise.
        bias_mm, warp_mm: error of the whole picture, and a slow wave over it (standard deviation).
        multipath: share of a hollow's depth that light going to and fro takes away, at most MOST_SHALLOW_MM.
        flying, lost: share of the pixels beside a depth edge that hang between front and back, and that are holes.
        dark_signal: return (near-infrared albedo times cosine) at which half of the pixels are holes: all at half of it, none
            at twice.
        baseline_mm: from the colour lens to the depth lens on its right: what only the colour lens sees has no depth.
        nearest_mm, farthest_mm: range.
        step_mm: depth is given in whole steps of this; 0 for none.
    """

    noise_mm: float = field(default=0.4, metadata=between(0.25, 0.6))
    noise_mm_per_m2: float = field(default=0.35, metadata=between(0.25, 0.55))
    correlation_px: float = field(default=0.8, metadata=between(0.5, 1.3))
    bias_mm: float = field(default=0.0, metadata=between(-3.0, 3.0))
    warp_mm: float = field(default=0.4, metadata=between(0.0, 1.0))
    multipath: float = field(default=0.3, metadata=between(0.1, 0.5))
    flying: float = field(default=0.3, metadata=between(0.1, 0.45))
    lost: float = field(default=0.35, metadata=between(0.15, 0.5))
    dark_signal: float = field(default=0.05, metadata=between(0.03, 0.08))
    baseline_mm: float = field(default=32.0, metadata=between(20.0, 40.0))
    nearest_mm: float = 500.0
    farthest_mm: float = 3860.0
    step_mm: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=("nearest_mm",))
        if self.farthest_mm <= self.nearest_mm:
            raise ValueError(f"range is {self.nearest_mm} to {self.farthest_mm} mm; wanted the second above the first")
        if self.flying + self.lost > 1:
            raise ValueError(
                f"flying {self.flying} and lost {self.lost} are shares of the same pixels; wanted a sum up to 1"
            )

    def sigma_mm(self, depth_mm: Float[Tensor, "h w"], signal: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """Standard deviation of the noise: it grows with the root of what the surface returns less than facing skin."""
        weak = (REFERENCE_SIGNAL / signal.clamp(min=1e-3)).sqrt().clamp(0.8, 3.0)
        return (self.noise_mm + self.noise_mm_per_m2 * (depth_mm / 1000).square()) * weak


def measured(
    depth_mm: Float[Tensor, "h w"],
    signal: Float[Tensor, "h w"],
    body: Bool[Tensor, "h w"],
    focal_px: float,
    camera: DepthCamera,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "h w"]:
    """Depth as the camera gives it, mm; 0 where it gives none.

    Args:
        depth_mm: exact, finite everywhere.
        signal: near-infrared albedo times the cosine to the camera.
        body: pixels on the patient, in whose hollows light goes to and fro.
        focal_px: of the picture.
    """
    shape = depth_mm.shape

    def normal() -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device).to(depth_mm.device)

    def share() -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(depth_mm.device)

    noise = correlated(normal(), camera.correlation_px)
    wave = slow_wave(depth_mm, generator=generator)
    seen = depth_mm - hollow_mm(depth_mm, body, focal_px) * camera.multipath
    seen = seen + camera.bias_mm + camera.warp_mm * wave + camera.sigma_mm(depth_mm, signal) * noise
    near, far = _least(depth_mm, 2), -_least(-depth_mm, 2)
    at_edge = far - near > EDGE_MM
    kind, between_both = share(), share()
    flying = at_edge & (kind < camera.flying)
    seen = torch.where(flying, near + (far - near) * between_both, seen)
    hole = at_edge & (kind > 1 - camera.lost)
    hole |= signal < camera.dark_signal * torch.exp2(2 * share() - 1)
    hole |= unseen(depth_mm, focal_px, camera.baseline_mm)
    hole |= (seen < camera.nearest_mm) | (depth_mm > camera.farthest_mm) | (seen > camera.farthest_mm)
    if camera.step_mm > 0:
        seen = (seen / camera.step_mm).round() * camera.step_mm
    return torch.where(hole, torch.zeros_like(seen), seen)


def correlated(white: Float[Tensor, "h w"], sigma_px: float) -> Float[Tensor, "h w"]:
    """White noise blurred with a Gaussian and brought back to unit variance."""
    if sigma_px <= 0.05:
        return white
    # the sum of the squared weights of the same blur: of one pixel, seen from a grid that is wide enough
    n = 2 * math.ceil(4 * sigma_px) + 17
    point = torch.zeros(1, n, n)
    point[0, n // 2, n // 2] = 1.0
    gain = float(blurred(point, sigma_px).square().sum().sqrt())
    return blurred(white[None], sigma_px)[0] / gain


def slow_wave(like: Float[Tensor, "h w"], *, generator: torch.Generator) -> Float[Tensor, "h w"]:
    """A smooth random field of variance about 1 over a picture, with hills about WAVE_PX wide."""
    knots = [math.ceil(n / WAVE_PX) + 1 for n in like.shape]
    coarse = torch.randn(1, 1, *knots, generator=generator, device=generator.device).to(like)
    smooth = functional.interpolate(coarse, size=like.shape, mode="bicubic", align_corners=True)[0, 0]
    return 1.2 * smooth  # between the knots some of the variance is lost


def hollow_mm(depth_mm: Float[Tensor, "h w"], body: Bool[Tensor, "h w"], focal_px: float) -> Float[Tensor, "h w"]:
    """How much deeper the body lies than around, 0 on humps and outside the body; saturates at MOST_SHALLOW_MM / 0.3."""
    if not bool(body.any()):
        return torch.zeros_like(depth_mm)
    middle = float(depth_mm[body].median())
    on = body.to(depth_mm.dtype)
    off = ((depth_mm - middle) * on).clamp(-400, 400)
    sigma_px = HOLLOW_MM * focal_px / middle
    sums = blurred(torch.stack([off, on]), sigma_px)
    deeper = (off - sums[0] / sums[1].clamp(min=0.05)).clamp(min=0) * on
    # beside a silhouette the mean is one-sided and says nothing
    whole = ((sums[1] - 0.75) / 0.25).clamp(0, 1)
    most = MOST_SHALLOW_MM / 0.3
    return most * torch.tanh(deeper * whole / most)


def unseen(depth_mm: Float[Tensor, "h w"], focal_px: float, baseline_mm: float) -> Bool[Tensor, "h w"]:
    """Pixels whose point the depth lens, `baseline_mm` to the right of the colour lens, does not see: something stands between."""
    hidden = torch.zeros_like(depth_mm, dtype=torch.bool)
    if baseline_mm <= 0:
        return hidden
    reach = focal_px * baseline_mm
    w = depth_mm.shape[1]
    most = reach * (1 / float(depth_mm.min()) - 1 / float(depth_mm.max()))
    for step in range(1, min(math.ceil(most), w - 1) + 1):
        met, here = depth_mm[:, step:], depth_mm[:, :-step]
        # the line to the depth lens crosses the pixel `step` further right at this depth
        hidden[:, :-step] |= met < 1 / (1 / here + step / reach) - 5.0
    return hidden


def _least(picture: Tensor, reach: int) -> Tensor:
    return -functional.max_pool2d(-picture[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0]
