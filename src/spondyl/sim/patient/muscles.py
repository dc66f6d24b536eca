"""Muscles with a fat plane around each: psoas, quadratus, erector spinae, multifidus, iliacus, gluteals, thigh."""

from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.organ_paths import plain, wrapped
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.shapes import Bound, Rod, Shape, Solid, Vector, chain, unit, vector
from spondyl.sim.patient.vertebra import Vertebra, by_level

SIDES = (-1.0, 1.0)
LUMBAR = ("L1", "L2", "L3", "L4", "L5")


def muscle_solids(vertebrae: tuple[Vertebra, ...], pelvis: Pelvis, trunk: Bound) -> list[Solid]:
    """Muscles from the chest's gutters to the thighs, deep ones first; `trunk` ends where the fat below the skin begins."""
    at, hu = by_level(vertebrae), number("tissue", "muscle")
    solids = [plain("organ", 45.0, _column(vertebrae), 6.0), plain("muscle", hu, _gutters(vertebrae), 4.0, trunk)]
    for sign in SIDES:
        parts = [*_hip(pelvis, sign), *_thigh(pelvis, sign), _quadratus(at, pelvis, sign), _psoas(at, pelvis, sign)]
        parts += [_erector(vertebrae, at, pelvis, sign), _multifidus(at, sign)]
        solids += [wrapped("muscle", hu, shapes, 3.0, trunk) for shapes in parts]
    return solids


def _column(vertebrae: tuple[Vertebra, ...]) -> list[Shape]:
    """Soft tissue hugging the vertebral bodies, so that no lung touches bone."""
    points = [v.centre for v in vertebrae]
    radii = [(v.size.epwu + v.size.epwl) / 4 + (4.0 if not v.size.lumbar else 1.5) for v in vertebrae]
    return list(chain(points, radii))


def _gutters(vertebrae: tuple[Vertebra, ...]) -> list[Shape]:
    """What fills the gutters beside the spinous processes, from rib neck to rib neck."""
    chest = [v for v in vertebrae if not v.size.lumbar]
    points = [v.point(0.0, v.half_depth + 27.0, 0.0) for v in chest]
    return list(chain(points, [19.0] * len(chest), [v.axes[0] for v in chest], 1.75))


def _erector(vertebrae: tuple[Vertebra, ...], at: dict[str, Vertebra], pelvis: Pelvis, sign: float) -> list[Shape]:
    """Longissimus and iliocostalis in one, from the sacrum to the upper chest."""
    k = pelvis.scale
    chest = [v for v in vertebrae if v.size.level in ("T3", "T5", "T7", "T9", "T11")]
    path = [v.point(sign * 27.0 * k, v.half_depth + 38.0 * k, 0.0) for v in chest]
    path += [
        at[name].point(sign * x * k, at[name].canal_back + y * k, 0.0)
        for name, x, y in zip(LUMBAR, (33.0, 36.0, 38.0, 37.0, 33.0), (7.0, 7.0, 7.0, 8.0, 9.0), strict=True)
    ]
    path.append(pelvis.point(sign * 20.0, 84.0, 62.0))
    radii = [6.0, 8.0, 9.5, 11.0, 13.0, 17.0, 20.0, 21.0, 19.0, 14.0, 7.0]
    wide = [v.axes[0] for v in chest] + [at[name].axes[0] for name in LUMBAR]
    return list(chain(path, [r * k for r in radii[-len(path) :]], wide, 1.65))


def _multifidus(at: dict[str, Vertebra], sign: float) -> list[Shape]:
    """Close to the spinous processes, thickest at the sacrum."""
    levels = [at[name] for name in ("T12", *LUMBAR)]
    path = [v.point(sign * 11.0, v.canal_back + 15.0, -2.0) for v in levels]
    return list(chain(path, [5.5, 7.0, 8.0, 9.0, 10.0, 11.0]))


def _quadratus(at: dict[str, Vertebra], pelvis: Pelvis, sign: float) -> list[Shape]:
    """From the twelfth rib to the iliac crest, behind the kidney."""
    k = pelvis.scale
    path = [at["T12"].point(sign * 42.0 * k, 20.0 * k, -8.0), at["L2"].point(sign * 50.0 * k, 20.0 * k, 0.0)]
    path += [at["L4"].point(sign * 60.0 * k, 22.0 * k, 0.0), pelvis.point(sign * 84.0, 44.0, 126.0)]
    wide = [at[name].axes[0] for name in ("T12", "L2", "L4")]
    return list(chain(path, [r * k for r in (5.0, 7.0, 7.5, 6.0)], wide, 2.2))


def _psoas(at: dict[str, Vertebra], pelvis: Pelvis, sign: float) -> list[Shape]:
    levels = [at[name] for name in ("T12", *LUMBAR)]
    path = [v.point(sign * (v.size.epwu / 2 + 2.0 + 3.2 * i), 3.0, 0.0) for i, v in enumerate(levels)]
    path += [pelvis.point(sign * 72.0, -24.0, 50.0), pelvis.point(sign * 90.0, -26.0, -10.0)]
    path.append(pelvis.point(sign * 100.0, -2.0, -45.0))
    return list(chain(path, [5.0, 9.0, 12.5, 15.5, 17.0, 17.0, 15.0, 12.0, 8.0][-len(path) :]))


def _hip(p: Pelvis, sign: float) -> list[list[Shape]]:
    """Iliacus inside the wing, the lesser gluteals outside of it, the great one behind."""

    def at(x: float, y: float, z: float) -> Vector:
        return p.point(sign * x, y, z)

    k = p.scale
    fossa = unit(at(112, -42, 78) - at(40, 74, 82))
    iliacus: list[Shape] = [Rod(at(98, 4, 108), at(84, -14, 40), 8.0 * k, 14.0 * k, fossa, 2.2)]
    minor: list[Shape] = [Rod(at(122, 14, 104), at(114, 4, 20), 11.0 * k, 18.0 * k, fossa, 2.6)]
    major: list[Shape] = [Rod(at(46, 88, 66), at(92, 52, -60), 22.0 * k, 27.0 * k, fossa, 2.1)]
    return [iliacus, minor, major]


def _thigh(p: Pelvis, sign: float) -> list[list[Shape]]:
    """Quadriceps, adductors and hamstrings at their upper ends."""
    hip, k = p.hip(sign), p.scale

    def at(x: float, y: float, z: float) -> Vector:
        return hip + vector(sign * x, y, z) * k

    front: list[Shape] = [Rod(at(36, -34, -30), at(38, -34, -330), 17.0 * k, 30.0 * k)]
    inner: list[Shape] = [Rod(at(-44, -14, -60), at(-8, 4, -330), 14.0 * k, 32.0 * k)]
    rear: list[Shape] = [Rod(at(-8, 38, -80), at(18, 44, -330), 16.0 * k, 24.0 * k)]
    return [front, inner, rear]
