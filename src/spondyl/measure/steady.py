"""Corners made steadier by what is known of spines: neighbouring endplates tilt alike, by so much and no more.

The tilts of a picture's endplates are one draw of a Gaussian process along the spine (Matern 5/2) plus an irregularity of each
endplate's own; a reader adds noise of the size that it states. The posterior mean is the best guess of the tilts, and its SD
what is left of the noise (Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, equations 2.25 and 2.26). Where
a reader is sure nothing changes; where it is not, its neighbours speak.

Constants: the process of greatest likelihood for the exact tilts of 120 simulated spines (half screening, half surgical; seeds
9000 to 9119), in the frontal and in the lateral view. No real spine was used.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Corners

LEAST_SD_DEG = 0.05  # a reader that states no spread at all would make the equations singular


@dataclass(frozen=True)
class Sway:
    """How tilts vary along a spine.

    Args:
        sway_deg: SD of the smooth part.
        reach_levels: distance over which it keeps its direction, in mean distances of neighbouring vertebrae.
        own_deg: SD of each endplate's own part.
    """

    sway_deg: float
    reach_levels: float
    own_deg: float


FRONTAL = Sway(14.0, 3.75, 1.42)
SIDEWAYS = Sway(31.9, 8.9, 1.83)


def steadied(corners: Corners, *, lateral: bool = False, pixel: tuple[float, float] = (1.0, 1.0)) -> Corners:
    """Corners with every endplate turned about its middle to the posterior mean of its tilt, and its spread made smaller.

    S1 stays as it is: it does not go on from L5 as the others go on from each other. So do endplates with a missing corner.
    The overall tilt of the picture is not known beforehand and is taken from the picture.

    Args:
        corners: with `spread_px`; without it they come back unchanged.
        pixel: (v, u) size of a pixel at the patient, in one unit.
    """
    spread = corners.spread_px
    if spread is None:
        return corners
    own = torch.tensor([level != "S1" for level in corners.levels])
    scale = torch.tensor(pixel, dtype=torch.float64)
    ends = corners.corners_px.double().reshape(-1, 2, 2, 2) * scale
    sides = spread.double().reshape(-1, 2, 2, 2) * scale
    rows = (own[:, None] & torch.isfinite(ends).flatten(2).all(2)).nonzero()
    if len(rows) < 3:
        return corners
    plates, noise = ends[rows[:, 0], rows[:, 1]], sides[rows[:, 0], rows[:, 1]]
    chord = plates[:, 1] - plates[:, 0]
    length = torch.linalg.norm(chord, dim=1).clamp_min(1e-6)
    tilt = torch.rad2deg(torch.atan2(-chord[:, 0], chord[:, 1]))
    # what lies across the chord turns it: (v, u) SDs against the chord's (u, v) parts
    sd = torch.rad2deg(((chord.flip(1)[:, None] * noise).square().sum((1, 2)) / length**4).sqrt())
    sd = torch.nan_to_num(sd, nan=30.0).clamp_min(LEAST_SD_DEG)
    middles = plates.mean(1)
    mean, left = posterior(_places(middles, rows), tilt, sd, SIDEWAYS if lateral else FRONTAL)
    angle = torch.deg2rad(mean)
    half = torch.stack([-torch.sin(angle), torch.cos(angle)], dim=1) * (length / 2)[:, None]
    turned = torch.stack([middles - half, middles + half], dim=1)
    # only the part across the chord shrinks; along it the reader knows no more than before
    shrink = (left / sd)[:, None, None]
    new_ends, new_sides = ends.clone(), sides.clone()
    new_ends[rows[:, 0], rows[:, 1]], new_sides[rows[:, 0], rows[:, 1]] = turned, noise * shrink
    return replace(
        corners,
        corners_px=(new_ends / scale).reshape(-1, 4, 2).to(corners.corners_px),
        spread_px=(new_sides / scale).reshape(-1, 4, 2).to(spread),
    )


def posterior(
    place: Float[Tensor, "n"], tilt_deg: Float[Tensor, "n"], sd_deg: Float[Tensor, "n"], sway: Sway
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Mean and SD of the true tilts, given what was read and how well. Places along the spine in levels."""
    away = (place[:, None] - place).abs() * (5**0.5 / sway.reach_levels)
    smooth = sway.sway_deg**2 * (1 + away + away.square() / 3) * torch.exp(-away)
    prior = smooth + sway.own_deg**2 * torch.eye(len(place), dtype=place.dtype)
    total = prior + torch.diag(sd_deg.square())
    weight = torch.linalg.solve(total, torch.ones_like(place))
    level = (weight * tilt_deg).sum() / weight.sum()  # generalised least squares
    gain = torch.linalg.solve(total, prior).mT
    mean = level + gain @ (tilt_deg - level)
    left = prior - gain @ prior
    return mean, left.diagonal().clamp_min(LEAST_SD_DEG**2).sqrt()


def _places(middles: Float[Tensor, "n 2"], rows: Tensor) -> Float[Tensor, "n"]:
    """Length of the spine down to each endplate, in mean distances of neighbouring vertebrae."""
    along = torch.linalg.norm(middles.diff(dim=0), dim=1).cumsum(0)
    place = torch.cat([along.new_zeros(1), along])
    levels = float(rows[-1, 0] - rows[0, 0]) + 0.5
    return place * (levels / place[-1].clamp_min(1e-6))
