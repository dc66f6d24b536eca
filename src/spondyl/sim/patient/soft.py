"""Soft tissue painted: skin, fat, muscle, belly and lungs, and a brace outside of it all."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.canvas import Canvas
from spondyl.sim.patient.shapes import Coordinates
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
    cavity = torch.maximum(skin + fat + 13.0, at.y - profile[7] - 2.0)
    cavity = torch.maximum(cavity, torso.crotch_mm + 40.0 - at.z)
    dome = (at.z - diaphragm_mm(torso, at)) * 0.6
    cavity = torch.maximum(cavity, at.z - torso.domes_mm[1] + 40.0)
    return Depths(skin, torch.minimum(cavity, torch.maximum(inside, dome)), torch.maximum(inside, -dome), fat)


def paint_torso(canvas: Canvas, torso: Torso) -> None:
    """Skin, fat, muscle, cavity and lungs; distances on a coarse grid, interpolated a few slices at a time."""
    nz, ny, nx = canvas.hu.shape
    f = max(1, round(COARSE_MM / canvas.spacing_mm))
    steps = [-(-(n - 1) // f) + 1 for n in (nz, ny, nx)]
    coarse = replace(canvas, spacing_mm=canvas.spacing_mm * f)
    whole = coarse.coordinates((slice(0, steps[0]), slice(0, steps[1]), slice(0, steps[2])))
    parts = [depths(torso, replace(whole, z=z)) for z in torch.split(whole.z, 8)]
    rows = [torch.cat([getattr(p, name) for p in parts]) for name in ("skin", "cavity", "lung", "fat_mm")]
    stack = torch.stack(rows)[None]
    for first in range(0, steps[0] - 1, 2):
        last = min(first + 2, steps[0] - 1)
        size = [(last - first) * f + 1, (steps[1] - 1) * f + 1, (steps[2] - 1) * f + 1]
        fine = functional.interpolate(stack[:, :, first : last + 1], size=size, mode="trilinear", align_corners=True)
        stop = nz if last == steps[0] - 1 else last * f
        window = (slice(first * f, min(stop, nz)), slice(0, ny), slice(0, nx))
        own = fine[0, :, : window[0].stop - window[0].start, :ny, :nx]
        _paint(canvas, window, Depths(*own))


def _paint(canvas: Canvas, window: tuple[slice, slice, slice], d: Depths) -> None:
    muscle = d.skin + d.fat_mm
    layers = (("skin", d.skin), ("fat", d.skin + SKIN_MM), ("muscle", muscle), ("organ", d.cavity), ("lung", d.lung))
    labels = canvas.labels[window]
    for name, distance in layers:
        canvas.blend(window, distance, number("tissue", name))
        labels.masked_fill_(distance < 0, STRUCTURE_LABELS[name])


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
