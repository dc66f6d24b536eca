"""Corners made steadier: an endplate stands across the line of the vertebral bodies, by so much and no more.

The tilts of a picture's endplates are those of the line through the bodies' middles, plus one draw of a Gaussian process along the
spine (Matern 5/2), plus an irregularity of each endplate's own; a reader adds noise of the size that it states. The posterior mean
is the best guess of the tilts, and its SD what is left of the noise (Rasmussen and Williams 2006, Gaussian Processes for Machine
Learning, equations 2.25 and 2.26). Where a reader is sure nothing changes; where it is not, the line and the neighbours speak.

Constants: the process of greatest likelihood for the exact tilts of 120 simulated spines (half screening, half surgical; seeds
9000 to 9119), in the frontal and in the lateral view, against the line as it is drawn here. No real spine was used.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Corners

LEAST_SD_DEG = 0.05  # a reader that states no spread at all would make the equations singular
LEAST_BODIES = 3
WINDOW = 0.7  # SD of the weight of a body in the line's direction at a place, in levels


@dataclass(frozen=True)
class Sway:
    """How the tilts of endplates differ from the line's.

    Args:
        sway_deg: SD of the smooth part.
        reach_levels: distance over which it keeps its direction, in mean distances of neighbouring vertebrae.
        own_deg: SD of each endplate's own part.
    """

    sway_deg: float
    reach_levels: float
    own_deg: float


FRONTAL = Sway(1.13, 1.20, 1.58)
SIDEWAYS = Sway(0.97, 2.71, 1.84)


def steadied(
    corners: Corners, *, lateral: bool = False, pixel: tuple[float, float] = (1.0, 1.0), together: float = 1.0
) -> Corners:
    """Corners with every endplate turned about its middle to the posterior mean of its tilt, and its spread made smaller.

    S1 stays as it is: it does not go on from L5 as the others go on from each other. So do endplates with a missing corner.
    Fewer than three bodies have no line; then nothing changes.

    Args:
        corners: with `spread_px`; without it they come back unchanged.
        pixel: (v, u) size of a pixel at the patient, in one unit.
        together: SD of a tilt's error over what the stated spread of corners that err independently would make it. A network puts
            both ends of an endplate too high or too low together, so its tilts are better than its corners.
    """
    spread = corners.spread_px
    if spread is None:
        return corners
    own = torch.tensor([level != "S1" for level in corners.levels])
    scale = torch.tensor(pixel, dtype=torch.float64)
    ends = corners.corners_px.double().reshape(-1, 2, 2, 2) * scale
    sides = spread.double().reshape(-1, 2, 2, 2) * scale
    rows = (own[:, None] & torch.isfinite(ends).flatten(2).all(2)).nonzero()
    bodies = (own & torch.isfinite(ends).flatten(1).all(1)).nonzero()[:, 0]
    if len(bodies) < LEAST_BODIES:
        return corners
    plates, noise = ends[rows[:, 0], rows[:, 1]], sides[rows[:, 0], rows[:, 1]]
    chord = plates[:, 1] - plates[:, 0]
    length = torch.linalg.norm(chord, dim=1).clamp_min(1e-6)
    tilt = torch.rad2deg(torch.atan2(-chord[:, 0], chord[:, 1]))
    # what lies across the chord turns it: (v, u) SDs against the chord's (u, v) parts
    sd = torch.rad2deg(((chord.flip(1)[:, None] * noise).square().sum((1, 2)) / length**4).sqrt())
    sd = torch.nan_to_num(sd, nan=30.0).clamp_min(LEAST_SD_DEG)
    true_sd = (together * sd).clamp_min(LEAST_SD_DEG)
    middles = plates.mean(1)
    centres = ends[bodies].mean((1, 2))
    along, pitch = _along(centres, bodies)
    place = along[_nearest(bodies, rows[:, 0])] + _offset(centres, bodies, rows[:, 0], middles) / pitch
    line = line_tilts_deg(centres, along, place)
    mean, left = posterior(place, tilt, true_sd, SIDEWAYS if lateral else FRONTAL, line)
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
    place: Float[Tensor, "n"],
    tilt_deg: Float[Tensor, "n"],
    sd_deg: Float[Tensor, "n"],
    sway: Sway,
    line_deg: Float[Tensor, "n"],
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Mean and SD of the true tilts, given what was read, how well, and the line's. Places along the spine in levels."""
    away = (place[:, None] - place).abs() * (5**0.5 / sway.reach_levels)
    smooth = sway.sway_deg**2 * (1 + away + away.square() / 3) * torch.exp(-away)
    prior = smooth + sway.own_deg**2 * torch.eye(len(place), dtype=place.dtype)
    total = prior + torch.diag(sd_deg.square())
    gain = torch.linalg.solve(total, prior).mT
    mean = line_deg + gain @ (tilt_deg - line_deg)
    left = prior - gain @ prior
    return mean, left.diagonal().clamp_min(LEAST_SD_DEG**2).sqrt()


def line_tilts_deg(
    centres: Float[Tensor, "b 2"], along: Float[Tensor, "b"], place: Float[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """Tilt of a plate across the line through the middles (v, u): a parabola fitted around every place, nearer bodies first."""
    away = along - place[:, None]
    weight = torch.exp(-0.25 * (away / WINDOW).square())  # its square is the weight of a squared residual
    powers = torch.stack([torch.ones_like(away), away, away.square()], dim=-1) * weight[..., None]
    fit = torch.linalg.lstsq(powers, weight[..., None] * centres).solution
    down, across = fit[:, 1].unbind(1)
    return torch.rad2deg(torch.atan2(across, down))


def _along(centres: Float[Tensor, "b 2"], bodies: Tensor) -> tuple[Float[Tensor, "b"], Float[Tensor, ""]]:
    """Length of the line down to each body in mean distances of neighbouring vertebrae, and that distance."""
    steps = torch.linalg.norm(centres.diff(dim=0), dim=1)
    pitch = steps.sum() / (bodies[-1] - bodies[0])
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)]) / pitch, pitch


def _nearest(bodies: Tensor, wanted: Tensor) -> Tensor:
    """For each row the place of the nearest whole body in the list."""
    return (bodies - wanted[:, None]).abs().argmin(1)


def _offset(centres: Float[Tensor, "b 2"], bodies: Tensor, wanted: Tensor, middles: Float[Tensor, "n 2"]) -> Tensor:
    """How far along the line each plate's middle lies below the nearest body's."""
    at = _nearest(bodies, wanted)
    before, after = (at - 1).clamp_min(0), (at + 1).clamp(max=len(centres) - 1)
    way = torch.nn.functional.normalize(centres[after] - centres[before], dim=1)
    return ((middles - centres[at]) * way).sum(1)
