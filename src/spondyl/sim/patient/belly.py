"""Solid organs of the belly: liver, spleen, kidneys, pancreas, great vessels, bladder; and the stomach with its level of air."""

import numpy as np
import torch

from spondyl.sim.patient.anatomy import Body, number, places
from spondyl.sim.patient.organ_paths import beside, line_of, plain, wrapped
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.shapes import Below, Bound, Ellipsoid, Rod, Shape, Solid, chain, cross, unit, vector
from spondyl.sim.patient.thorax import Cage
from spondyl.sim.patient.vertebra import Vertebra, by_level

SIDES = (-1.0, 1.0)
Levels = dict[str, Vertebra]


def belly_solids(
    vertebrae: tuple[Vertebra, ...], cage: Cage, pelvis: Pelvis, body: Body, belly: Bound,
    *, dome_mm: float, supine: bool, generator: torch.Generator,
) -> list[Solid]:  # fmt: skip
    """Organs behind first; all stay inside the belly's wall and below the diaphragm."""
    at, k = by_level(vertebrae), body.trunk
    blood, organ = number("tissue", "blood"), number("tissue", "organ")
    solids = [wrapped("organ", blood, shapes, 1.0) for shapes in _great_vessels(at, pelvis)]
    for sign in SIDES:
        solids += _kidney(at, k, sign, belly)
    solids.append(wrapped("organ", organ, _tube(at, k, "pancreas"), 4.0, belly, 2.0))
    solids.append(wrapped("organ", number("belly", "spleen_hu"), _spleen(at, k), 4.0, belly, 1.0))
    solids += _liver(at, cage, k, belly)
    solids.append(wrapped("organ", number("belly", "fluid_hu"), [_bladder(pelvis)], 1.0, belly, 2.0))
    return solids + _stomach(at, k, belly, None if supine else dome_mm, generator)


def _great_vessels(at: Levels, pelvis: Pelvis) -> list[list[Shape]]:
    """Aorta left and vena cava right in front of the bodies, dividing at L4."""
    k, out = pelvis.scale, []
    for sign, x, radius in ((1.0, 9.0, 7.5), (-1.0, -15.0, 9.5)):
        levels = [at[name] for name in ("T12", "L1", "L2", "L3", "L4")]
        path = [v.point(x * k, -v.half_depth - (radius + 2.0) * k, 0.0) for v in levels]
        out.append(list[Shape](chain(path, [radius * k] * len(path))))
        for side in SIDES:
            iliac = [
                path[-1],
                pelvis.point(side * 32.0 + sign * 4.0, -6.0, 96.0),
                pelvis.point(side * 62.0, -40.0, 40.0),
            ]
            out.append(list[Shape](chain(iliac, [5.5 * k] * 3)))
    return out


def _kidney(at: Levels, k: float, sign: float, belly: Bound) -> list[Solid]:
    """A kidney leaning along the psoas, with the fat of its sinus."""
    axes = np.stack([unit(vector(1, 0, sign * 0.25)), vector(0, 1, 0), unit(vector(-sign * 0.25, 0, 1))])
    centre = beside(at["L1"], sign * 52.0, 2.0, k, -6.0 + sign * 7.0)
    sinus = centre + vector(-sign * 12.0, -4.0, 0.0) * k
    kidney = wrapped("organ", number("belly", "kidney_hu"), [Ellipsoid(centre, np.array([25.0, 20.0, 49.0]) * k, axes)],
                     1.0, belly, 4.0)  # fmt: skip
    return [kidney, plain("fat", -80.0, [Ellipsoid(sinus, np.array([13.0, 7.0, 20.0]) * k, axes)], 1.0, belly, 4.0)]


def _tube(at: Levels, k: float, name: str) -> list[Shape]:
    rows = places("belly", name)
    return list(chain(line_of(rows, at, k), [p.radius * k for p in rows]))


def _spleen(at: Levels, k: float) -> list[Shape]:
    axes = np.stack([unit(vector(0.75, 0.65, 0)), unit(vector(-0.6, 0.7, 0.35)), vector(0, 0, 1)])
    axes[2] = unit(cross(axes[0], axes[1]))
    axes[1] = cross(axes[2], axes[0])
    return [Ellipsoid(beside(at["T11"], 82.0, 8.0, k, -2.0), np.array([22.0, 40.0, 48.0]) * k, axes)]


def _liver(at: Levels, cage: Cage, k: float, belly: Bound) -> list[Solid]:
    """Two lobes under the diaphragm, a few veins in them, the gall bladder at the lower edge."""
    x, y = float(cage.centre_mm[8, 0]), float(cage.centre_mm[8, 1])
    right = vector(x - 54.0 * k, y, at["T12"].centre[2] - 2.0 * k)
    left = right + vector(62.0, -30.0, 34.0) * k
    lobes: list[Shape] = [
        Ellipsoid(right, np.array([60.0, 84.0, 84.0]) * k),
        Ellipsoid(left, np.array([64.0, 44.0, 40.0]) * k),
    ]
    root = right + vector(34.0, 4.0, 40.0) * k
    veins = [
        Rod(root, right + vector(a, b, c) * k, 4.5 * k, 2.0 * k)
        for a, b, c in ((-36, 10, 8), (-8, -40, 22), (52, -36, 26))
    ]
    portal = right + vector(30.0, -8.0, -6.0) * k
    veins += [
        Rod(portal, portal + vector(a, b, c) * k, 5.0 * k, 1.5 * k)
        for a, b, c in ((-50, 6, 10), (-40, 24, -26), (30, -30, 22))
    ]
    gall = right + vector(22.0, -44.0, -58.0) * k
    hu = number("tissue", "liver")
    return [
        wrapped("liver", hu, lobes, 14.0, belly, 0.5),
        plain("liver", hu - 18.0, list[Shape](veins), 1.0, belly, 8.0),
        wrapped(
            "organ", number("belly", "fluid_hu"), [Ellipsoid(gall, np.array([13.0, 14.0, 22.0]) * k)], 1.0, belly, 3.0
        ),
    ]


def _bladder(pelvis: Pelvis) -> Ellipsoid:
    return Ellipsoid(pelvis.point(0.0, -22.0, 0.0), np.array([34.0, 26.0, 26.0]) * pelvis.scale)


def _stomach(at: Levels, k: float, belly: Bound, dome_mm: float | None, generator: torch.Generator) -> list[Solid]:
    """A bag from the left dome over the middle: air above a level, which faces forward in a lying patient (no dome)."""
    r = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    rows = places("belly", "stomach")
    line = line_of(rows, at, k, vector(8.0 * (r[0] - 0.5), 0.0, 10.0 * (r[1] - 0.5)))
    size = 0.85 + 0.3 * r[2]
    low, high = number("belly", "air_mm_low"), number("belly", "air_mm_high")
    air = low + (high - low) * r[3]

    def bag(wall_mm: float) -> list[Shape]:
        return list(chain(line, [max(p.radius * size * k - wall_mm, 2.0) for p in rows]))

    front = line[2][1] - rows[2].radius * size * k
    level = Below(vector(0, front + 0.8 * air, 0), vector(0, -1, 0))
    if dome_mm is not None:
        roof = min(line[0][2] + rows[0].radius * size * k, dome_mm - 6.0)
        level = Below(vector(0, 0, roof - air), vector(0, 0, 1))
    wall = number("belly", "stomach_wall_mm")
    inside = plain("organ", number("belly", "meal_hu"), bag(wall), 8.0, belly, 1.5 + wall)
    gas = Solid(43, tuple(bag(wall)), -950.0, -950.0, 0.0, 8.0, (level,), within=belly, gap_mm=1.5 + wall)
    return [wrapped("organ", number("tissue", "organ"), bag(0.0), 8.0, belly, 1.5), inside, gas]
