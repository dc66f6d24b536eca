"""One vertebra as a solid: body between its own two endplates, neural arch and processes by level.

The local frame is the vertebra's own: origin in the body's centre, x left, y posterior, z cranial.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import LevelSize, number
from spondyl.sim.patient.block import Block
from spondyl.sim.patient.shapes import Rod, Shape, Solid, Vector, cross
from spondyl.spine import LEVEL_LABELS, SpineCurve

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One posed vertebra: its measures, its frame and the points that other parts and the truth need (world mm).

    `bow_deg` is the Cobb angle of its curve times its nearness to the apex, positive where the convexity is on the left:
    it narrows the concave pedicle and bends the spinous process to the concavity.
    """

    size: LevelSize
    centre: Vector
    axes: Array
    superior: Array
    inferior: Array
    bow_deg: float = 0.0

    def point(self, x: float, y: float, z: float) -> Vector:
        """World position of a local point."""
        return np.asarray(self.centre + np.array([x, y, z]) @ self.axes)

    @property
    def half_depth(self) -> float:
        """Half depth of the body, mm."""
        return (self.size.epdu + self.size.epdl) / 4

    @property
    def canal_back(self) -> float:
        """Local y of the back wall of the canal, mm."""
        return self.half_depth + self.size.scd

    def pedicle_width(self, sign: float) -> float:
        """Width of one pedicle (+1 left), mm: the concave one is narrower (Hu 2014)."""
        hollow = max(0.0, -sign * self.bow_deg)
        return self.size.pw * (1 - min(number("vertebra", "concave_pedicle_per_deg") * hollow, 0.5))

    @property
    def bend_mm(self) -> float:
        """How far the spinous tip is bent to the concave side (local x), mm."""
        return -min(max(number("vertebra", "spinous_bend_per_deg") * self.bow_deg, -5.0), 5.0)

    def transverse_tip(self, sign: float) -> Vector:
        """Tip of the transverse process on one side (+1 left), world mm."""
        s = self.size
        out = s.tpw / 2 - 3.5
        if s.lumbar:
            return self.point(sign * out, self.half_depth + 0.55 * s.scd + 2, 0.06 * s.height)
        root = s.scw / 2 + s.pw * 0.6
        back = {"T11": 10.0, "T12": 6.0, "T13": 6.0, "C7": 2.0, "T1": 8.0, "T2": 12.0}.get(s.level, 15.0)
        return self.point(sign * max(out, root + 3), self.half_depth + 0.6 * s.scd + back, 0.1 * s.height)

    def lamina(self, sign: float) -> Vector:
        """Middle of the back surface of the lamina on one side, world mm."""
        s = self.size
        return self.point(sign * s.scw * 0.3, self.canal_back + 5.5, -0.2 * s.height)

    def spinous_base(self) -> Vector:
        """Root of the spinous process, world mm."""
        return self.point(0.0, self.canal_back + 3.0, -0.2 * self.size.height)

    def spinous_tip(self) -> Vector:
        """Tip of the spinous process, world mm: `spl` from the posterior-superior margin, inclined by `spi`."""
        s, tilt = self.size, math.radians(self.size.spi)
        y0, z0 = s.scd + 3.0, -0.2 * s.height - s.height / 2
        half = y0 * math.cos(tilt) - z0 * math.sin(tilt)
        length = -half + math.sqrt(max(half * half - (y0 * y0 + z0 * z0) + s.spl**2, 25.0))
        y, z = y0 + length * math.cos(tilt), z0 - length * math.sin(tilt)
        return self.point(self.bend_mm, self.half_depth + y - 3.0, z + s.height / 2)


def vertebrae_of(spine: SpineCurve, sizes: tuple[LevelSize, ...], bow_deg: Array | None = None) -> tuple[Vertebra, ...]:
    """The posed vertebrae above the sacrum, cranial to caudal; `bow_deg` has one value a level."""
    rows = [i for i, level in enumerate(spine.levels) if level != "S1"]
    return tuple(
        Vertebra(
            sizes[i],
            spine.centres_mm[i].double().numpy(),
            spine.axes[i].double().numpy(),
            spine.endplates_mm[i, 0].double().numpy(),
            spine.endplates_mm[i, 1].double().numpy(),
            0.0 if bow_deg is None else float(bow_deg[i]),
        )
        for i in rows
    )


def by_level(vertebrae: tuple[Vertebra, ...]) -> dict[str, Vertebra]:
    """Vertebrae by name; where T12 or L5 is missing the one above stands in, so that soft parts find their heights."""
    at = {v.size.level: v for v in vertebrae}
    for missing, above in (("T12", "T11"), ("L5", "L4")):
        at.setdefault(missing, at[above])
    return at


def neck_above(c7: Vertebra, count: int = 4) -> tuple[Vertebra, ...]:
    """C6, C5, ... on top of C7: they are drawn, but no truth is given for them."""
    out, below = [], c7
    for i in range(count):
        size = replace(c7.size, level=f"C{6 - i}", tpw=52.0, spl=36.0, spi=20.0, epwu=18.0, epwl=19.5, ph=6.5, pw=5.5)
        rise = below.axes[2] * (size.height + size.disc) + below.axes[1] * 1.0
        moved = [np.concatenate([plate[:1] + rise, plate[1:] * 0.9]) for plate in (below.superior, below.inferior)]
        below = Vertebra(size, below.centre + rise, below.axes, moved[0], moved[1])
        out.append(below)
    return tuple(out)


def body_block(v: Vertebra) -> Block:
    """The body of a vertebra, without its arch."""
    s = v.size
    hollow = number("vertebra", f"concavity_{'lumbar' if s.lumbar else 'thoracic'}_mm") * s.height
    return Block(
        v.centre, v.axes, v.superior, v.inferior, hollow / (26 if s.lumbar else 18), number("vertebra", "waist")
    )


def vertebra_solid(v: Vertebra) -> Solid:
    """The whole bone of one vertebra."""
    s, body = v.size, body_block(v)
    canal = Rod(
        v.point(0, v.half_depth + s.scd / 2 + 1.0, -s.height), v.point(0, v.half_depth + s.scd / 2 + 1.0, s.height),
        s.scd / 2, s.scd / 2, v.axes[0], max(s.scw / s.scd, 1.0),
    )  # fmt: skip
    shapes: list[Shape] = [body, *_spinous(v)]
    for sign in (-1.0, 1.0):
        shapes += [_pedicle(v, sign), *_lamina(v, sign), *_transverse(v, sign), *_articular(v, sign)]
    tissue = number("tissue", "cancellous"), number("tissue", "cortical")
    shell = number("vertebra", "body_shell_mm") + 0.15
    return Solid(LEVEL_LABELS[s.level], tuple(shapes), tissue[0], tissue[1], shell, 2.0, (canal,), 1.0)


def disc_solid(upper: Vertebra, lower_superior: Array) -> Solid:
    """The disc below a vertebra."""
    top, bottom = upper.inferior, lower_superior
    centre, up = (top[0] + bottom[0]) / 2, cross(top[1], top[2]) + cross(bottom[1], bottom[2])
    up /= np.linalg.norm(up)
    left = top[1] / np.linalg.norm(top[1])
    left = left - up * (left @ up)
    left /= np.linalg.norm(left)
    axes = np.stack([left, cross(up, left), up])
    block = Block(centre, axes, top, bottom, -1.0)
    hu = number("tissue", "disc")
    return Solid(STRUCTURE_LABELS["disc"], (block,), hu, hu)


def _pedicle(v: Vertebra, sign: float) -> Rod:
    s, width = v.size, v.pedicle_width(sign)
    x = s.scw / 2 + s.pw / 2
    turn = math.tan(math.radians(s.pta))
    front, back = v.half_depth - 5.0, v.half_depth + 0.55 * s.scd
    z = s.height / 2 - s.ph / 2 - 0.5
    a = v.point(sign * (x - turn * 5.0), front, z)
    b = v.point(sign * (x + turn * 0.25 * s.scd), back, z - 1.0)
    return Rod(a, b, width / 2, width / 2, v.axes[2], max(s.ph / width, 1.0))


def _lamina(v: Vertebra, sign: float) -> list[Shape]:
    s = v.size
    side = v.point(sign * (s.scw / 2 + 1.5), v.half_depth + 0.8 * s.scd, 0.05 * s.height)
    base = v.point(sign * 1.5, v.canal_back + 3.0, -0.22 * s.height)
    return [Rod(side, base, 3.0, 3.0, v.axes[2], 0.42 * s.height / 3.0)]


def _spinous(v: Vertebra) -> list[Shape]:
    s, base, tip = v.size, v.spinous_base(), v.spinous_tip()
    blade = {True: 3.2, False: 2.2}[s.lumbar]
    tall = (0.40 * s.height if s.lumbar else 5.5) / 2.6
    inner = tip + (base - tip) * 0.12
    up = cross(tip - base, v.axes[0])
    up /= np.linalg.norm(up)
    return [Rod(base, inner, 2.6, 2.6, up, tall), Rod(inner, tip, blade, blade + 0.3, up, 1.6 if s.lumbar else 1.2)]


def _transverse(v: Vertebra, sign: float) -> list[Shape]:
    s, tip = v.size, v.transverse_tip(sign)
    if s.lumbar:
        root = v.point(sign * (s.scw / 2 + 0.6 * s.pw), v.half_depth + 0.3 * s.scd, 0.12 * s.height)
        thick = 4.5 if s.level in ("L5", "L6") else 3.0
        return [Rod(root, tip, thick + 0.5, 2.4, v.axes[2], 1.7)]
    root = v.point(sign * (s.scw / 2 + 0.5 * s.pw), v.half_depth + 0.6 * s.scd, 0.1 * s.height)
    stout = 0.7 if s.level in ("T11", "T12", "T13") else 1.0
    return [Rod(root, tip, 4.2 * stout, 3.6 * stout, v.axes[2], 1.35)]


def _articular(v: Vertebra, sign: float) -> list[Shape]:
    s = v.size
    half = s.height / 2
    if s.lumbar:
        x, y = s.scw / 2 + 5.0, v.half_depth + s.scd * 0.9
        up = Rod(
            v.point(sign * (x - 1), y - 2, 0.1 * half),
            v.point(sign * (x + 2), y + 1, half + 4),
            4.8,
            4.0,
            v.axes[1],
            1.4,
        )
        down = Rod(
            v.point(sign * (x - 3), y + 2, -0.2 * half),
            v.point(sign * (x - 4), y + 4, -half - s.disc - 3),
            4.2,
            3.6,
            v.axes[1],
            1.4,
        )
        return [up, down]
    x, y = s.scw / 2 + 2.5, v.half_depth + s.scd * 0.8
    up = Rod(v.point(sign * x, y, 0.3 * half), v.point(sign * x, y - 1.5, half + 4.5), 2.0, 1.8, v.axes[0], 2.2)
    down = Rod(
        v.point(sign * x, y + 2.5, -0.2 * half),
        v.point(sign * x, y + 4.0, -half - s.disc * 0.6 - 2.0),
        2.2,
        1.9,
        v.axes[0],
        2.2,
    )
    return [up, down]
