"""The back's surface: points straight behind the spine, and a rotation of the surface that is exact by design."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.sim.patient.sections import STEP_MM, Profile
from spondyl.sim.patient.shapes import Coordinates
from spondyl.sim.patient.torso import Torso, trunk_distance

LEVER_MM = 65.0  # the rotation of the back is defined this far from the spine, on both sides


def skin_behind(torso: Torso, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The points of the back's skin straight behind the given ones, world mm."""
    low, high = points[:, 1] - 40.0, points[:, 1] + 160.0
    for _ in range(14):
        middle = (low + high) / 2
        at = Coordinates(points[:, 0, None, None], middle[:, None, None], points[:, 2, None, None])
        within = trunk_distance(torso, at)[:, 0, 0] < 0
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    return torch.stack([points[:, 0], (low + high) / 2, points[:, 2]], -1)


def surface_rotation_deg(torso: Torso, z_mm: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Rotation of the back's surface at some heights, degrees: positive where the left side lies further back.

    What a scoliometer laid over the spine would show, in the stance of the patient.
    """
    rows = torso.skin.at(z_mm)
    lever = LEVER_MM * torso.body.trunk
    sides = torch.cat([torch.stack([rows[6] + sign * lever, rows[1], z_mm], -1) for sign in (1.0, -1.0)])
    left, right = skin_behind(torso, sides)[:, 1].chunk(2)
    return torch.rad2deg(torch.atan2(left - right, torch.full_like(left, 2 * lever)))


def with_surface_rotation(
    torso: Torso, z_mm: Float[Tensor, "n"], wanted_deg: Float[Tensor, "n"], rounds: int = 3
) -> Torso:
    """The same trunk with its back twisted so that the surface rotation at these heights is the wanted one.

    The twist moves the skin behind the spine only, and fades out sideways.
    """
    order = torch.argsort(z_mm)
    z, wanted = z_mm[order], torch.tan(torch.deg2rad(wanted_deg[order]))
    grid = torso.skin.low_mm + STEP_MM * torch.arange(torso.skin.rows.shape[1])
    twist = torch.zeros_like(z)
    for _ in range(rounds):
        found = torch.tan(torch.deg2rad(surface_rotation_deg(torso, z)))
        twist = twist + (wanted - found) * 1.1
        rows = torso.skin.rows.clone()
        rows[10] = _smooth(_interpolate(grid, z, twist))
        torso = replace(torso, skin=Profile(torso.skin.low_mm, rows))
    return torso


def _interpolate(grid: Tensor, z: Tensor, values: Tensor) -> Tensor:
    """Linear between the heights, fading to zero over 60 mm beyond them."""
    ends = torch.tensor([60.0])
    z = torch.cat([z[:1] - ends, z, z[-1:] + ends])
    values = torch.cat([torch.zeros(1), values, torch.zeros(1)])
    k = torch.searchsorted(z, grid.contiguous()).clamp(1, len(z) - 1)
    part = ((grid - z[k - 1]) / (z[k] - z[k - 1])).clamp(0, 1)
    return values[k - 1] * (1 - part) + values[k] * part


def _smooth(values: Tensor, sigma_mm: float = 8.0) -> Tensor:
    reach = torch.arange(-int(3 * sigma_mm), int(3 * sigma_mm) + 1)
    kernel = torch.exp(-(reach**2) / (2 * sigma_mm**2))
    padded = torch.nn.functional.pad(values[None, None], (len(reach) // 2,) * 2, mode="replicate")
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]
