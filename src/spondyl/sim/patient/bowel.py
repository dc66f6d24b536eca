"""Bowel: loops of small bowel in their fat, and a colon whose haustra hold gas, stool or nothing."""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Body, number, places
from spondyl.sim.patient.chance import Chance
from spondyl.sim.patient.organ_paths import beside, line_of, wrapped
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.shapes import Bound, Ellipsoid, Shape, Solid, Vector, chain, cross, unit, vector
from spondyl.sim.patient.vertebra import Vertebra, by_level

Array = NDArray[np.float64]
Held = Literal["gas", "stool", "nothing"]
PER_SOLID = 6  # haustra painted at once: small boxes are cheaper than one around the whole colon


def bowel_solids(
    vertebrae: tuple[Vertebra, ...], pelvis: Pelvis, body: Body, belly: Bound, *, generator: torch.Generator
) -> list[Solid]:
    """Small bowel, then the colon in front of it; what each part holds is drawn."""
    at, chance = by_level(vertebrae), Chance(generator)
    return _small_bowel(at, body, belly, chance) + _colon(at, pelvis, body.trunk, belly, chance)


def _small_bowel(at: dict[str, Vertebra], body: Body, belly: Bound, chance: Chance) -> list[Solid]:
    """Bent tubes on a jittered lattice below the transverse colon; a few hold a bubble."""
    k, pitch = body.trunk, number("bowel", "loop_pitch_mm")
    slim = min(max(1.0 + number("bowel", "slim_per_bmi") * (21.0 - body.bmi), 0.9), 1.2)
    radius = number("bowel", "loop_radius_mm") * slim
    out: list[Solid] = []
    gas: list[Shape] = []
    for dz in np.arange(28.0, -150.0, -pitch):
        sacral = 0.55 * max(0.0, -40.0 - float(dz))  # the belly runs back below the promontory
        for dy in sacral - 18.0 - pitch * np.arange(3.0 + (sacral > 20)):
            for dx in np.arange(-60.0, 61.0, 1.6 * pitch):
                if chance.happens(number("bowel", "loop_gap_share")):
                    continue
                x, y, z = (c + (chance.uniform() - 0.5) * 0.5 * pitch for c in (dx, dy, dz))
                middle = beside(at["L4"], x, y, k, z)
                turn = (chance.uniform() - 0.5) * 1.6
                half = vector(math.cos(turn), 0.35 * (chance.uniform() - 0.5), math.sin(turn)) * 0.75 * pitch * k
                bend = vector(0, 10.0 * (chance.uniform() - 0.5), 14.0 * (chance.uniform() - 0.5)) * k
                r = radius * k * (0.8 + 0.4 * chance.uniform())
                ends = [middle - half - bend, middle + bend, middle + half - 0.6 * bend]
                rods: list[Shape] = list(chain(ends, [0.85 * r, r, 0.85 * r]))
                out.append(
                    wrapped("organ", number("bowel", "loop_hu") + 14 * (chance.uniform() - 0.5), rods, 3.0, belly, 1.0)
                )
                if chance.happens(number("bowel", "loop_gas_share")):
                    gas.append(Ellipsoid(middle + bend - vector(0, 0.3 * r, 0), np.array([0.9, 0.5, 0.55]) * r))
    return [*out, *(_gas([bubble], 0.0, belly) for bubble in gas)]


def _colon(at: dict[str, Vertebra], pelvis: Pelvis, k: float, belly: Bound, chance: Chance) -> list[Solid]:
    """Beads along the colon's course; contents change from one haustrum to the next, but seldom."""
    rows = places("bowel", "colon")
    wander = [vector(*(10.0 * (chance.uniform() - 0.5) for _ in range(3))) * k for _ in rows]
    line = [a + b for a, b in zip(line_of(rows, at, k), wander, strict=True)]
    line += [pelvis.point(0.0, 10.0, 30.0), pelvis.point(0.0, 18.0, 0.0)]
    radii = np.array([p.radius for p in rows] + [14.0, 16.0]) * k
    points, radius, part = _beads(np.stack(line), radii, number("bowel", "haustrum_mm") * k)
    held = _contents(part, chance)
    radius = radius * np.array([(0.72 if h == "nothing" else 1.0) * (0.85 + 0.3 * chance.uniform()) for h in held])
    wall = number("bowel", "wall_mm")
    outside: list[Solid] = []
    inside: list[Solid] = []
    for first in range(0, len(points), PER_SOLID):
        rows_now = list(range(first, min(first + PER_SOLID + 1, len(points))))
        outside.append(
            wrapped("organ", number("bowel", "loop_hu"), _haustra(points, radius, rows_now, 0.0), 5.0, belly, 1.0)
        )
        gas, stool = (
            _haustra(points, radius, [i for i in rows_now[:PER_SOLID] if held[i] == kind], wall)
            for kind in ("gas", "stool")
        )
        inside += [_stool(stool, wall, belly)] if stool else []
        inside += [_gas(gas, wall, belly)] if gas else []
    return outside + inside


def _beads(line: Array, radii: Array, step_mm: float) -> tuple[Array, Array, Array]:
    """Points at equal steps along a path, their radii, and where along it they are (0 to 1)."""
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    s = np.linspace(0, run[-1], max(2, round(float(run[-1]) / step_mm)))
    points = np.stack([np.interp(s, run, line[:, i]) for i in range(3)], axis=1)
    return points, np.interp(s, run, radii), s / run[-1]


def _contents(part: Array, chance: Chance) -> list[Held]:
    """What each haustrum holds: a chain that keeps its state with a fixed chance, or draws it anew by the part of the colon."""
    out: list[Held] = []
    for p in part:
        if out and chance.happens(number("bowel", "same_share")):
            out.append(out[-1])
            continue
        name = "right" if p < 0.33 else "middle" if p < 0.6 else "left"
        gas, stool, u = number("bowel", f"gas_{name}"), number("bowel", f"stool_{name}"), chance.uniform()
        out.append("gas" if u < gas else "stool" if u < gas + stool else "nothing")
    return out


def _haustra(points: Array, radius: Array, rows: list[int], wall_mm: float) -> list[Shape]:
    """Beads, each a little longer across the course than along it."""
    out: list[Shape] = []
    for i in rows:
        along: Vector = unit(points[min(i + 1, len(points) - 1)] - points[max(i - 1, 0)])
        side = unit(cross(along, vector(0.3, 0.9, 0.2)))
        axes = np.stack([along, side, cross(along, side)])
        r = max(float(radius[i]) - wall_mm, 2.0)
        out.append(Ellipsoid(points[i], np.array([0.82, 1.0, 1.0]) * r, axes))
    return out


def _gas(shapes: list[Shape], wall_mm: float, belly: Bound) -> Solid:
    hu = number("bowel", "gas_hu")
    return Solid(STRUCTURE_LABELS["gas"], tuple(shapes), hu, hu, 0.0, 6.0, within=belly, gap_mm=2.0 + wall_mm)


def _stool(shapes: list[Shape], wall_mm: float, belly: Bound) -> Solid:
    """Stool is mottled by small bubbles."""
    hu, texture = number("bowel", "stool_hu"), number("bowel", "stool_spread_hu") / number("vertebra", "texture_hu")
    return Solid(
        STRUCTURE_LABELS["organ"], tuple(shapes), hu, hu, 0.5, 3.0, (), texture, number("bowel", "stool_grain"), belly,
        2.0 + wall_mm,
    )  # fmt: skip
