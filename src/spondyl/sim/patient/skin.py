"""The body surface as a mesh: neck to the top of the thighs, and the upper arms; and points found on it."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.pairs import Skin
from spondyl.sim.patient.patient import Anatomy, Patient, anatomy_of
from spondyl.sim.patient.shapes import Coordinates, Rod, unit
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.patient.torso import Torso, trunk_distance

ROWS_MM = 4.0
AROUND = 144


def skin_of(
    patient: Patient, anatomy: Anatomy | None = None, *, rows_mm: float = ROWS_MM, around: int = AROUND
) -> Skin:
    """The skin of a patient, world mm, faces counter-clockwise from outside; upper arms are closed tubes of their own.

    `anatomy` is the patient's, where the caller has it already.
    """
    torso = (anatomy_of(patient) if anatomy is None else anatomy).torso
    top = float(patient.spine.centres_mm[0, 2]) + 60.0 * patient.body.trunk
    z = torch.arange(torso.crotch_mm + 12.0, top, rows_mm)
    with one_thread():
        parts = [_trunk(torso, z, around)]
    parts += [_tube(rod, 48) for rod in torso.arms]
    faces, offset = [], 0
    for vertices, own in parts:
        faces.append(own + offset)
        offset += len(vertices)
    return Skin(torch.cat([v for v, _ in parts]), torch.cat(faces))


def surface_radius(torso: Torso, z: Float[Tensor, "n"], around: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distance from the section's middle to the skin, (n, around) mm, and the middles' x and y."""
    x0, y0 = torso.skin.at(z)[:2]
    phi = torch.arange(around) * (2 * math.pi / around)
    ux, uy = phi.cos(), phi.sin()

    def inside(r: Tensor) -> Tensor:
        """Whether points at radius r (n, a, k) lie in the trunk."""
        at = Coordinates(
            x0[:, None, None] + r * ux[None, :, None], y0[:, None, None] + r * uy[None, :, None], z[:, None, None]
        )
        return trunk_distance(torso, at) < 0

    ladder = torch.linspace(20.0, 260.0, 31)
    deep = inside(ladder.expand(len(z), around, len(ladder)))
    last = deep.long().mul(torch.arange(len(ladder))).amax(-1)  # the outermost step that is still inside
    low = ladder[last]
    high = low + (ladder[1] - ladder[0])
    for _ in range(12):
        middle = (low + high) / 2
        within = inside(middle[..., None])[..., 0]
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    return (low + high) / 2, x0, y0


def _trunk(torso: Torso, z: Tensor, around: int) -> tuple[Tensor, Tensor]:
    radius, x0, y0 = surface_radius(torso, z, around)
    phi = torch.arange(around) * (2 * math.pi / around)
    ring = torch.stack(
        [x0[:, None] + radius * phi.cos(), y0[:, None] + radius * phi.sin(), z[:, None].expand_as(radius)], -1
    )
    caps = torch.stack([torch.stack([x0[i], y0[i], z[i]]) for i in (0, -1)])
    return torch.cat([ring.reshape(-1, 3), caps]), _ring_faces(len(z), around)


def _ring_faces(rows: int, around: int) -> Tensor:
    """Triangles between rings, counter-clockwise from outside (rings turn from x to y, rows climb), with two caps."""
    i = torch.arange(rows - 1)[:, None] * around
    j = torch.arange(around)
    k = (j + 1) % around
    a, b, c, d = i + j, i + k, i + around + j, i + around + k
    sides = torch.stack([torch.stack([a, b, d], -1), torch.stack([a, d, c], -1)], 2).reshape(-1, 3)
    low, high = rows * around, rows * around + 1
    bottom = torch.stack([torch.full_like(j, low), k, j], -1)
    last = (rows - 1) * around
    top = torch.stack([torch.full_like(j, high), last + j, last + k], -1)
    return torch.cat([sides, bottom, top])


def _tube(rod: Rod, around: int) -> tuple[Tensor, Tensor]:
    along = unit(rod.b - rod.a)
    side = unit(np.cross(along, np.array([0.0, 1.0, 0.3])))
    up = np.cross(along, side)
    steps = np.linspace(0, 1, 12)
    phi = np.arange(around) * 2 * math.pi / around
    circle = np.cos(phi)[:, None] * side + np.sin(phi)[:, None] * up
    rings = [rod.a + (rod.b - rod.a) * t + circle * (rod.radius_a + (rod.radius_b - rod.radius_a) * t) for t in steps]
    points = np.concatenate([np.concatenate(rings), [rod.a, rod.b]])
    return torch.from_numpy(points).to(torch.float32), _ring_faces(len(steps), around)
