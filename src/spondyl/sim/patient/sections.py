"""Sections of the trunk against height: what skin and cage look like at each millimetre, as rows to look up."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spondyl.sim.patient.anatomy import Body, names, number, series
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.thorax import Cage
from spondyl.sim.patient.vertebra import Vertebra, by_level

Array = NDArray[np.float64]
STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows of numbers against height, one entry a millimetre: what a section needs to know.

    The skin's rows, mm: centre x and y, half-width, half-depth; sine and cosine of the turn; spine x and y; furrow depth;
    extra fat; twist of the back (slope of its surface against the section's, see `surface`). The cage's rows: centre x and
    y, half-width, half-depth; sine and cosine; half-depth without the cupola; slopes forward and sideways.
    """

    low_mm: float
    rows: Float[Tensor, "k n"]

    def at(self, z: Tensor, rows: int | None = None) -> list[Tensor]:
        """Every row (or the first few) at the heights z, linearly interpolated, held constant beyond the ends."""
        n = self.rows.shape[1]
        position = ((z - self.low_mm) / STEP_MM).clamp(0, n - 1.001)
        first = position.floor().long()
        part = position - first
        return [row[first] * (1 - part) + row[first + 1] * part for row in self.rows[:rows].to(z.device)]


def skin_profile(
    vertebrae: tuple[Vertebra, ...], cage: Cage, pelvis: Pelvis, body: Body, surface_deg: Array
) -> Profile:
    """The skin's sections from the upper thighs to the neck, one a millimetre: wide enough for spine and cage."""
    k, at, hip = body.trunk, by_level(vertebrae), float(pelvis.origin[2])
    top = float(at["C7"].centre[2])
    z = np.arange(hip - 140 * k, top + 70 * k + 120, STEP_MM)
    half, behind, before = _stations(z, at, hip, body)
    spine_x, spine_y = _spine_line(z, vertebrae, hip, top + 130 * k)
    shift = _blur(spine_x, 40.0) * number("deformity", "cage_shift")
    marks = [hip, -70 * k, -30 * k, 60.0, float(at["T10"].centre[2]), float(at["T2"].centre[2]), top]
    furrow = np.interp(z, marks, [14, 12, 3, 9, 7, 5, 0]) * k
    tips = np.stack([v.spinous_tip() for v in vertebrae])[::-1]
    need = np.interp(z, tips[:, 2], tips[:, 1], left=-1e3, right=-1e3) + 9.0 + furrow
    back = _blur(np.maximum(spine_y + behind, need), 6.0)
    front = -_over_cage(z, before - spine_y, cage, 180.0, 14.0 * k)
    left, right = _over_cage(z, shift + half, cage, 90.0, 18.0 * k), -_over_cage(z, half - shift, cage, -90.0, 18.0 * k)
    levels = np.array([v.centre[2] for v in vertebrae])[::-1]
    turn = np.radians(_blur(np.interp(z, levels, surface_deg[::-1], left=0, right=0), 12.0))
    fat = np.interp(z, [hip - 40, -60 * k, 20.0, 120.0], [14.0, 12.0, 6.0, 0.0]) * k
    rows = [(left + right) / 2, (back + front) / 2, (left - right) / 2, (back - front) / 2, np.sin(turn), np.cos(turn)]
    rows += [spine_x, spine_y, furrow, fat, np.zeros_like(z)]
    return Profile(float(z[0]), torch.tensor(np.stack(rows), dtype=torch.float32))


def _stations(z: Array, at: dict[str, Vertebra], hip: float, body: Body) -> tuple[Array, Array, Array]:
    """Half-width, depth behind and depth in front of the spine at the heights z, from the table of stations."""
    k = body.trunk
    extra = {
        "top": float(at["C7"].centre[2]) + 70 * k,
        "S1": -12.0,
        "sacrum": -48.0 * k,
        "hip": hip,
        "crotch": hip - 78 * k,
    }
    stations = np.array([extra[n] if n in extra else float(at[n].centre[2]) for n in names("skin", "levels")])
    order = np.argsort(stations)
    plump = k * (1.0 + 0.012 * (body.bmi - 18.5))
    rows = [np.array(series("skin", name))[order] * plump for name in ("half_width", "back", "front")]
    half, behind, before = (_blur(np.interp(z, stations[order], row), 9.0) for row in rows)
    return half, behind, before


def _spine_line(z: Array, vertebrae: tuple[Vertebra, ...], hip: float, top: float) -> tuple[Array, Array]:
    """The spine's x and y at the heights z, carried on through pelvis and neck."""
    centres = np.stack([v.centre for v in vertebrae])[::-1]
    neck = np.array([[centres[-1, 0], centres[-1, 1] - 4.0, top]])
    line = np.concatenate([[[0.0, 8.0, hip]], [[0.0, 4.0, -20.0]], centres, neck])
    return _blur(np.interp(z, line[:, 2], line[:, 0]), 10.0), _blur(np.interp(z, line[:, 2], line[:, 1]), 10.0)


def _over_cage(z: Array, own: Array, cage: Cage, angle_deg: float, cover_mm: float) -> Array:
    """An extent of the skin (left, right or front) that clears the cage: below each rib it may draw in by 4 mm in 10."""
    axis = {180.0: (1, -1.0), 90.0: (0, 1.0), -90.0: (0, -1.0)}[angle_deg]
    out = own.copy()
    for rib in range(2, 7 if angle_deg == 180.0 else min(11, len(cage.height_mm))):
        p = cage.point(float(rib), angle_deg)
        reach = axis[1] * p[axis[0]] + cover_mm - 0.4 * np.abs(z - p[2])
        out = np.maximum(out, reach)
    return _blur(out, 9.0)


def loop_profile(cage: Cage, body: Body) -> Profile:
    """The cage's loops against the height at which they start behind; closed by a cupola above the first."""
    k = body.trunk
    order = np.argsort(cage.height_mm)
    stations = cage.height_mm[order]
    z = np.arange(stations[0] - 160.0, stations[-1] + 60.0, STEP_MM)

    def row(values: Array) -> Array:
        return _blur(np.interp(z, stations, values[order]), 6.0)

    cupola = np.clip((stations[-1] + 26.0 * k - z) / (40.0 * k), 0.0, 1.0)
    floor = np.clip((z - stations[0] + 50.0 * k) / (50.0 * k), 0.0, 1.0)
    cupola = np.sqrt((1 - (1 - cupola) ** 2) * (1 - (1 - floor) ** 2)) + 1e-3
    turn = np.radians(row(cage.turn_deg))
    x, y = row(cage.centre_mm[:, 0]), row(cage.centre_mm[:, 1])
    whole = row(cage.half_depth_mm)
    slope, lean = np.tan(np.radians(row(cage.slope_deg))), np.tan(np.radians(row(cage.lean_deg)))
    rows = [
        x,
        y,
        row(cage.half_width_mm) * cupola,
        row(cage.half_depth_mm) * cupola,
        np.sin(turn),
        np.cos(turn),
        whole,
        slope,
        lean,
    ]
    return Profile(float(z[0]), torch.tensor(np.stack(rows), dtype=torch.float32))


def _blur(values: Array, sigma_mm: float) -> Array:
    reach = np.arange(-int(3 * sigma_mm), int(3 * sigma_mm) + 1)
    kernel = np.exp(-(reach**2) / (2 * sigma_mm**2))
    return np.convolve(np.pad(values, len(reach) // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
