"""Organs that give a trunk film its shadows: mediastinum, heart, vessels, airways, liver, stomach, kidneys, psoas, bowel gas."""

import numpy as np
import torch
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Body, number
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.shapes import Ellipsoid, Rod, Shape, Solid, Vector, chain, unit, vector
from spondyl.sim.patient.thorax import Cage
from spondyl.sim.patient.vertebra import Vertebra, by_level

Array = NDArray[np.float64]


def organ_solids(
    vertebrae: tuple[Vertebra, ...], cage: Cage, pelvis: Pelvis, body: Body, *, generator: torch.Generator
) -> list[Solid]:
    """Organs in the order in which they cover each other; gas and lung vessels are drawn by the generator."""
    at = by_level(vertebrae)
    solids = [
        _plain("organ", 45.0, _column(vertebrae), 6.0),
        _plain("liver", number("tissue", "liver"), _liver(at, cage, body), 14.0),
    ]
    solids += [_plain("muscle", number("tissue", "muscle"), _paraspinal(vertebrae), 4.0)]
    solids += [_plain("fat", -85.0, _fat_streaks(at, body), 4.0), _plain("organ", 38.0, _kidneys(at, body), 4.0)]
    solids += [_plain("muscle", number("tissue", "muscle"), _psoas(at, pelvis), 4.0)]
    solids += [_plain("organ", 35.0, _lung_vessels(at, cage, body, generator), 0.5)]
    solids += [_plain("heart", number("tissue", "blood"), _heart(at, body), 12.0)]
    solids += [
        _plain("gas", -930.0, _airways(at, body), 1.0),
        _plain("gas", -480.0, _bowel_gas(at, pelvis, body, generator), 9.0),
    ]
    return solids


def _plain(label: str, hu: float, shapes: list[Shape], blend_mm: float) -> Solid:
    return Solid(STRUCTURE_LABELS[label], tuple(shapes), hu, hu, 0.0, blend_mm)


def _column(vertebrae: tuple[Vertebra, ...]) -> list[Shape]:
    """Soft tissue hugging the vertebral bodies, so that no lung touches bone."""
    points = [v.centre for v in vertebrae]
    radii = [(v.size.epwu + v.size.epwl) / 4 + 4.0 for v in vertebrae]
    return list(chain(points, radii))


def _paraspinal(vertebrae: tuple[Vertebra, ...]) -> list[Shape]:
    """The muscle in the gutters beside the spinous processes, from rib neck to rib neck."""
    chest = [v for v in vertebrae if not v.size.lumbar]
    points = [v.point(0.0, v.half_depth + 27.0, 0.0) for v in chest]
    return list(chain(points, [19.0] * len(chest), [v.axes[0] for v in chest], 1.75))


def _mid(v: Vertebra, x: float, y: float, k: float, z: float = 0.0) -> Vector:
    """A point beside a body in the world's directions, half of the spine's lateral deviation taken back."""
    return np.asarray(v.centre * np.array([0.45, 1.0, 1.0]) + vector(x, y, z) * k)


def _heart(at: dict[str, Vertebra], body: Body) -> list[Shape]:
    k = body.trunk
    long = unit(vector(0.72, -0.42, -0.55))
    side = unit(np.cross(long, vector(0, 1, 0)))
    axes = np.stack([long, side, np.cross(long, side)])
    top = at["T4"]
    arch = [
        _mid(at["T6"], -8, -58, k),
        _mid(at["T5"], -10, -56, k),
        _mid(top, -4, -48, k, 4),
        _mid(top, 10, -32, k, 6),
        _mid(top, 17, -14, k),
    ]
    descend = [v.centre + vector(13.0, -v.half_depth - 4.0, 0) * k for v in (at[f"T{i}"] for i in range(5, 13))]
    return [
        Ellipsoid(_mid(at["T8"], 14, -64, k, -2), np.array([60.0, 44.0, 42.0]) * k, axes),
        Ellipsoid(_mid(at["T8"], -16, -56, k, -2), np.array([28.0, 30.0, 36.0]) * k),
        Rod(_mid(at["T7"], 2, -54, k), _mid(at["T3"], -6, -42, k), 27.0 * k, 15.0 * k, vector(1, 0, 0), 1.15),
        Rod(_mid(at["T3"], 0, -38, k), _mid(at["C7"], 0, -34, k, 20), 19.0 * k, 13.0 * k, vector(1, 0, 0), 1.5),
        *chain(arch, [14.0 * k] * 5),
        *chain([arch[-1], *descend], [12.0 * k] + [9.5 * k] * 8),
    ]


def _airways(at: dict[str, Vertebra], body: Body) -> list[Shape]:
    k = body.trunk
    fork = _mid(at["T5"], 0, -26, k)
    tube = [_mid(at["C7"], 0, -28, k, 40), _mid(at["C7"], 0, -26, k), _mid(at["T2"], 0, -24, k), fork]
    return [
        *chain(tube, [8.0 * k] * 4),
        Rod(fork, fork + vector(-30, 2, -28) * k, 6.5 * k, 5.0 * k),
        Rod(fork, fork + vector(38, 2, -26) * k, 6.0 * k, 4.5 * k),
    ]


def _lung_vessels(at: dict[str, Vertebra], cage: Cage, body: Body, generator: torch.Generator) -> list[Shape]:
    """Branches from both hila, thinning towards the wall of the chest."""
    k, shapes = body.trunk, []
    for sign in (-1.0, 1.0):
        root = _mid(at["T6"], sign * 32.0, -30.0, k, 2)
        shapes.append(Rod(root + vector(0, 0, 12) * k, root + vector(sign * 6, 0, -22) * k, 9.0 * k, 8.0 * k))
        for _ in range(22):
            r = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
            loop, angle = 1.0 + 8.0 * r[0], sign * (40.0 + 115.0 * r[1])
            end = cage.point(loop, angle, -16.0)
            bend = root * 0.55 + end * 0.45 + vector(0, (r[2] - 0.5) * 24, (r[3] - 0.3) * 22) * k
            width = (2.4 + 2.2 * r[4]) * k
            shapes += chain([root, bend, end], [width, width * 0.6, 0.7])
    return list(shapes)


def _liver(at: dict[str, Vertebra], cage: Cage, body: Body) -> list[Shape]:
    k = body.trunk
    x = float(cage.centre_mm[8, 0])
    centre = vector(x - 48.0 * k, float(cage.centre_mm[8, 1]), at["T12"].centre[2] + 6.0)
    return [
        Ellipsoid(centre, np.array([54.0, 66.0, 64.0]) * k),
        Ellipsoid(centre + vector(50.0, -24.0, 12.0) * k, np.array([58.0, 38.0, 34.0]) * k),
    ]


def _psoas(at: dict[str, Vertebra], pelvis: Pelvis) -> list[Shape]:
    out: list[Shape] = []
    levels = [at[name] for name in ("T12", "L1", "L2", "L3", "L4", "L5")]
    for sign in (-1.0, 1.0):
        path = [v.point(sign * (v.size.epwu / 2 + 4.0 + 3.2 * i), 2.0, 0.0) for i, v in enumerate(levels)]
        path += [pelvis.point(sign * 76.0, -22.0, 50.0), pelvis.point(sign * 92.0, -20.0, -20.0)]
        out += chain(path, [5.0, 9.0, 13.0, 16.0, 18.0, 18.5, 17.0, 13.0][-len(path) :])
    return out


def _fat_streaks(at: dict[str, Vertebra], body: Body) -> list[Shape]:
    """Fat around kidneys and psoas: the lines that a film shows beside the lumbar spine."""
    k, out = body.trunk, []
    for sign in (-1.0, 1.0):
        out.append(Rod(_mid(at["L1"], sign * 58, -6, k, 22), _mid(at["L4"], sign * 62, -6, k), 33.0 * k, 20.0 * k))
    return list(out)


def _kidneys(at: dict[str, Vertebra], body: Body) -> list[Shape]:
    k, out = body.trunk, []
    for sign in (-1.0, 1.0):
        axes = np.stack([unit(vector(1, 0, sign * 0.2)), vector(0, 1, 0), unit(vector(-sign * 0.2, 0, 1))])
        out.append(Ellipsoid(_mid(at["L1"], sign * 58, -8, k, -4 + sign * 6), np.array([25.0, 22.0, 50.0]) * k, axes))
    return list(out)


def _bowel_gas(at: dict[str, Vertebra], pelvis: Pelvis, body: Body, generator: torch.Generator) -> list[Shape]:
    """The stomach's bubble under the left dome, and bubbles along the colon and in small bowel."""
    k = body.trunk
    out: list[Shape] = [Ellipsoid(_mid(at["T11"], 56, -34, k, 6), np.array([25.0, 20.0, 13.0]) * k)]
    frame = [(-72, -36, "L3", 0), (-72, -36, "L4", -8), (-70, -44, "L1", -14), (-30, -56, "L2", -6), (22, -56, "L2", 0),
             (72, -44, "T12", -22), (74, -36, "L2", 0), (74, -34, "L4", 4), (46, -40, "L5", -22), (2, -22, "L5", -70)]  # fmt: skip
    for x, y, level, z in frame:
        r = torch.rand(6, generator=generator, dtype=torch.float64).tolist()
        for i in range(3):
            shift = vector((r[i] - 0.5) * 26, (r[i] - 0.5) * 12, (r[5 - i] - 0.5) * 34)
            size = 6.0 + 9.0 * r[(i + 3) % 6]
            out.append(Ellipsoid(_mid(at[level], x, y, k, z) + shift * k, np.array([size * 1.1, size, size * 0.9]) * k))
    for _ in range(8):
        r = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        place = _mid(at["L4"], (r[0] - 0.5) * 110, -60.0 + 20 * r[1], k, (r[2] - 0.5) * 80)
        out.append(Ellipsoid(place, np.full(3, (4.0 + 6.0 * r[3]) * k)))
    return out
