"""Organs of the chest: heart on the diaphragm, great vessels with the aortic knuckle, airways, vessels of the lungs."""

import numpy as np
import torch

from spondyl.sim.patient.anatomy import Body, number
from spondyl.sim.patient.organ_paths import beside, plain, wrapped
from spondyl.sim.patient.shapes import Bound, Ellipsoid, Rod, Shape, Solid, chain, cross, unit, vector
from spondyl.sim.patient.thorax import Cage
from spondyl.sim.patient.vertebra import Vertebra, by_level

Levels = dict[str, Vertebra]


def chest_solids(
    vertebrae: tuple[Vertebra, ...], cage: Cage, body: Body, lung: Bound, *, generator: torch.Generator
) -> list[Solid]:
    """Vessels of the lungs first, then what covers them; the heart is cut off by the diaphragm it rests on."""
    at, k, blood = by_level(vertebrae), body.trunk, number("tissue", "blood")
    fat = number("tissue", "fat") + 15.0
    return [
        *(plain("organ", 35.0, shapes, 0.5) for shapes in _lung_vessels(at, cage, body, generator)),
        plain("fat", fat, _fat_pads(at, k), 12.0, lung, -2.0),
        plain("heart", blood, _heart(at, k), 12.0, lung, -3.0),
        plain("organ", 38.0, _mediastinum(at, k), 6.0),
        wrapped("heart", blood, _arch(at, k), 1.0),
        wrapped("heart", blood, _descending(at, k), 1.0),
        plain("gas", -930.0, _airways(at, k), 1.0),
    ]


def _heart(at: Levels, k: float) -> list[Shape]:
    """Left ventricle with its apex down, left and forward; right chambers; they reach below the dome, which cuts them."""
    long = unit(vector(0.74, -0.40, -0.54))
    side = unit(cross(long, vector(0, 1, 0)))
    axes = np.stack([long, side, cross(long, side)])
    return [
        Ellipsoid(beside(at["T8"], 20, -64, k, -24), np.array([62.0, 44.0, 42.0]) * k, axes),
        Ellipsoid(beside(at["T8"], -14, -56, k, -12), np.array([27.0, 30.0, 38.0]) * k),
        Ellipsoid(beside(at["T10"], 14, -70, k, -4), np.array([50.0, 33.0, 36.0]) * k),
        Rod(beside(at["T7"], 4, -54, k), beside(at["T5"], 6, -46, k), 27.0 * k, 17.0 * k, vector(1, 0, 0), 1.15),
        Rod(beside(at["T10"], -22, -34, k), beside(at["T8"], -20, -44, k), 11.0 * k, 12.0 * k),
    ]


def _mediastinum(at: Levels, k: float) -> list[Shape]:
    """Thymus and the vessels above the heart."""
    return [
        Rod(beside(at["T6"], 0, -50, k), beside(at["T3"], -4, -42, k), 22.0 * k, 15.0 * k, vector(1, 0, 0), 1.2),
        Rod(beside(at["T3"], 0, -38, k), beside(at["C7"], 0, -34, k, 20), 19.0 * k, 13.0 * k, vector(1, 0, 0), 1.5),
        Rod(beside(at["T6"], -24, -48, k), beside(at["T3"], -22, -46, k), 9.5 * k, 9.0 * k),
    ]


def _fat_pads(at: Levels, k: float) -> list[Shape]:
    """Fat in the angles between heart and diaphragm."""
    return [
        Ellipsoid(beside(at["T10"], 58, -84, k, 6), np.array([22.0, 20.0, 18.0]) * k),
        Ellipsoid(beside(at["T10"], -34, -82, k, 6), np.array([16.0, 18.0, 18.0]) * k),
    ]


def _arch(at: Levels, k: float) -> list[Shape]:
    rows = [("T6", -8, -58, 0), ("T5", -10, -56, 0), ("T4", -4, -48, 4), ("T4", 12, -30, 5), ("T4", 21, -12, -2)]
    return list(chain([beside(at[n], x, y, k, z) for n, x, y, z in rows], [13.0 * k] * 5))


def _descending(at: Levels, k: float) -> list[Shape]:
    line = [v.centre + vector(14.0, -v.half_depth - 3.0, 0) * k for v in (at[f"T{i}"] for i in range(5, 13))]
    top = beside(at["T4"], 21, -12, k, -2)
    return list(chain([top, *line], [12.0 * k] + [9.5 * k] * 8))


def _airways(at: Levels, k: float) -> list[Shape]:
    fork = beside(at["T5"], 0, -26, k)
    tube = [beside(at["C7"], 0, -28, k, 40), beside(at["C7"], 0, -26, k), beside(at["T2"], 0, -24, k), fork]
    return [
        *chain(tube, [8.0 * k] * 4),
        Rod(fork, fork + vector(-30, 2, -28) * k, 6.5 * k, 5.0 * k),
        Rod(fork, fork + vector(38, 2, -26) * k, 6.0 * k, 4.5 * k),
    ]


def _lung_vessels(at: Levels, cage: Cage, body: Body, generator: torch.Generator) -> list[list[Shape]]:
    """Both pulmonary trees: branches from the hilum that fork twice on their way to the wall of the chest, a list a tree limb."""
    k = body.trunk
    out: list[list[Shape]] = []
    for sign in (-1.0, 1.0):
        root = beside(at["T6"], sign * 32.0, -30.0, k, 2)
        out.append([Rod(root + vector(0, 0, 12) * k, root + vector(sign * 6, 0, -22) * k, 9.0 * k, 8.0 * k)])
        for _ in range(int(number("chest", "limbs"))):
            out.append(_limb(root, sign, cage, k, generator))
    return out


def _limb(root: np.ndarray, sign: float, cage: Cage, k: float, generator: torch.Generator) -> list[Shape]:
    r = torch.rand(14, generator=generator, dtype=torch.float64).tolist()
    loop, angle = 0.6 + 8.6 * r[0], 35.0 + 120.0 * r[1]
    end = cage.point(loop, sign * angle, -13.0)
    bend = root * 0.6 + end * 0.4 + vector(0, (r[2] - 0.5) * 24, (r[3] - 0.3) * 22) * k
    width = (2.2 + 1.9 * r[4]) * k
    shapes: list[Shape] = list(chain([root, bend, end], [width, width * 0.62, 0.5]))
    for i in range(3):
        start = bend + (end - bend) * (0.55 * r[5 + i])
        twig = cage.point(
            min(max(loop + 2.4 * (r[8 + i] - 0.5), 0.3), 9.4),
            sign * min(max(angle + 60.0 * (r[11 + i] - 0.5), 22.0), 165.0),
            -10.0,
        )
        shapes.append(Rod(start, twig, width * 0.5, 0.4))
    return shapes
