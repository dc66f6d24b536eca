"""Soft tissue painted: skin, fat, muscle, belly and lungs, and a brace outside of it all."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.canvas import Canvas, Field, upsampled
from spondyl.sim.patient.shapes import Coordinates, Window
from spondyl.sim.patient.torso import SKIN_MM, Torso, cage_distance, diaphragm_mm, melt, trunk_distance

COARSE_MM = 4.0  # soft surfaces bend gently (radius over 30 mm): interpolating their distance costs under 0.1 mm


@dataclass(frozen=True, eq=False)
class Depths:
    """Signed distances, mm, on one block of voxels: to the skin, the belly's cavity and the lungs; and the fat's thickness."""

    skin: Float[Tensor, "z y x"]
    cavity: Float[Tensor, "z y x"]
    lung: Float[Tensor, "z y x"]
    fat_mm: Float[Tensor, "z y x"]


def depths(torso: Torso, at: Coordinates) -> Depths:
    """The soft surfaces on the given coordinates."""
    inside = cage_distance(torso, at, -6.0)
    skin = trunk_distance(torso, at, inside)
    for arm in torso.arms:
        skin = melt(skin, arm.distance(at), 18.0)
    profile = torso.skin.at(at.z)
    fat = (SKIN_MM + torso.fat_mm + profile[9]).expand_as(skin)
    cavity = belly_distance(torso, at, skin + fat + number("skin", "wall"))
    dome = (at.z - diaphragm_mm(torso, at)) * 0.6
    cavity = torch.maximum(cavity, dome)
    return Depths(skin, torch.minimum(cavity, torch.maximum(inside, dome)), torch.maximum(inside, -dome), fat)


def belly_distance(torso: Torso, at: Coordinates, wall: Tensor) -> Tensor:
    """Signed distance to the belly and the lesser pelvis, mm; `wall` is the distance to the inner side of the belly's wall.

    Behind, the cavity ends at the bodies and runs back beside them, as far as the muscles on the ribs; below, it narrows
    between the hip bones.
    """
    k, hip = torso.body.trunk, torso.crotch_mm + 78.0 * torso.body.trunk
    rows = torso.skin.at(at.z)
    aside = (((at.x - rows[6]).abs() - 20.0 * k) / (32.0 * k)).clamp(0, 1)
    behind = 17.0 * k * aside * aside * (3 - 2 * aside) + ((-15.0 * k - at.z) * 0.6).clamp(0, 32.0 * k)
    rear = (at.y - rows[7] - 4.0 - behind) * 0.85
    funnel = ((at.x - rows[0]).abs() - 44.0 * k - 0.9 * (at.z - hip).clamp_min(0.0)) * 0.74
    cavity = melt_inside(melt_inside(wall, rear, 16.0), funnel, 14.0)
    return melt_inside(cavity, hip - 34.0 * k - at.z, 30.0)


def melt_inside(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    """What two signed distances have in common, its edge rounded over `blend_mm`."""
    return -melt(-a, -b, blend_mm)


@dataclass(frozen=True, eq=False)
class Spaces:
    """What organs lie in: distances to the inner side of the fat, to the belly (diaphragm to pelvic floor) and to the lungs."""

    muscle: Field
    belly: Field
    lung: Field


def paint_torso(canvas: Canvas, torso: Torso) -> Spaces:
    """Skin, fat, muscle, the belly's fat and the lungs; distances on a coarse grid, interpolated a few slices at a time."""
    nz, ny, nx = canvas.hu.shape
    f = max(1, round(COARSE_MM / canvas.spacing_mm))
    steps = [-(-(n - 1) // f) + 1 for n in (nz, ny, nx)]
    whole = _coarse(canvas, steps, f)
    parts = [depths(torso, replace(whole, z=z)) for z in torch.split(whole.z, 8)]
    rows = [torch.cat([getattr(p, name) for p in parts]) for name in ("skin", "cavity", "lung", "fat_mm")]
    stack = torch.stack(rows)
    for first in range(0, steps[0] - 1, 2):
        last = min(first + 2, steps[0] - 1)
        fine = upsampled(stack[:, first : last + 1], f)
        stop = nz if last == steps[0] - 1 else last * f
        window = (slice(first * f, min(stop, nz)), slice(0, ny), slice(0, nx))
        own = fine[:, : window[0].stop - window[0].start, :ny, :nx]
        _paint(canvas, window, Depths(*own))
    return Spaces(Field(stack[0] + stack[3], f), Field(stack[1], f), Field(stack[2], f))


def _coarse(canvas: Canvas, steps: list[int], f: int) -> Coordinates:
    """Every f-th voxel of a canvas, and as many beyond its end as the last one needs."""
    z, y, x = (
        float(canvas.origin_mm[2 - k]) + canvas.spacing_mm * f * torch.arange(n, device=canvas.hu.device)
        for k, n in enumerate(steps)
    )
    return Coordinates(x[None, None, :], y[None, :, None], z[:, None, None])


def _paint(canvas: Canvas, window: Window, d: Depths) -> None:
    layers = (
        ("skin", d.skin),
        ("fat", d.skin + SKIN_MM),
        ("muscle", d.skin + d.fat_mm),
        ("fat", d.cavity),
        ("lung", d.lung),
    )
    margin = 6 * canvas.softness_mm
    for name, distance in layers:
        box = _where(distance < margin)
        if box is None:
            continue
        own = (window[0], box[0], box[1])
        inside = distance[:, box[0], box[1]]
        canvas.blend(own, inside, number("tissue", name))
        canvas.labels[own].masked_fill_(inside < 0, STRUCTURE_LABELS[name])


def _where(near: Bool[Tensor, "z y x"]) -> tuple[slice, slice] | None:
    """The rows and columns that hold anything; None where nothing does."""
    flat = near.any(0)
    rows, columns = (flat.any(k).nonzero()[:, 0] for k in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def paint_brace(canvas: Canvas, torso: Torso) -> None:
    """A thoracolumbosacral brace: 4 mm of polyethylene close to the skin from the armpits to the hips, open in front."""
    heights = torso.cage.height_mm
    top, bottom = float(heights[3]), -70.0 * torso.body.trunk
    window = canvas.window(np.array([-1e4, -1e4, bottom]), np.array([1e4, 1e4, top]))
    if any(w.stop <= w.start for w in window):
        return
    at = canvas.coordinates(window)
    for first in range(0, at.z.shape[0], 8):
        part = replace(at, z=at.z[first : first + 8])
        shell = (trunk_distance(torso, part) - 4.0).abs() - 2.0
        gap = torch.where(part.y < torso.skin.at(part.z)[1], 18.0 - part.x.abs(), -50.0)
        rows = slice(window[0].start + first, window[0].start + first + part.z.shape[0])
        own = (rows, window[1], window[2])
        distance = torch.maximum(shell, gap)
        canvas.blend(own, distance, number("tissue", "plastic"))
