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
from spondyl.sim.patient.vertebra import Vertebra, by_level, neck_above

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
        first = position.long()
        part, index = (position - first).flatten(), first.flatten()
        table = self.rows[:rows].to(z.device)
        # index_select on flat rows is five times as fast as indexing with a block of indices
        return [
            torch.addcmul(low.index_select(0, index), step.index_select(0, index), part).view(z.shape)
            for low, step in zip(table, table.diff(dim=1), strict=True)
        ]


def fat_mm(body: Body) -> float:
    """Thickness of the fat below the skin on the trunk, from the body mass index."""
    return max(3.0, 6.0 + 1.1 * (body.bmi - 18.5))


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
    furrow = np.interp(z, marks, [14, 12, 3, 9, 10, 9, 0]) * k
    behind_skin = np.stack([_over_tip(v) for v in (*neck_above(vertebrae[0])[::-1], *vertebrae)])[::-1]
    need = np.interp(z, behind_skin[:, 2], behind_skin[:, 1], left=-1e3, right=-1e3) + 0.35 * fat_mm(body) + furrow
    back = _over(np.maximum(spine_y + behind, need), 8.0)
    front = -_over_cage(z, before - spine_y, cage, 14.0 * k)
    middle, depth = (back + front) / 2, (back - front) / 2
    left = _beside_cage(z, shift + half, middle, depth, cage, 1.0, 21.0 * k)
    right = -_beside_cage(z, half - shift, middle, depth, cage, -1.0, 21.0 * k)
    levels = np.array([v.centre[2] for v in vertebrae])[::-1]
    turn = np.radians(_blur(np.interp(z, levels, surface_deg[::-1], left=0, right=0), 12.0))
    fat = np.interp(z, [hip - 40, -60 * k, 20.0, 120.0], [14.0, 12.0, 6.0, 0.0]) * k
    rows = [(left + right) / 2, (back + front) / 2, (left - right) / 2, (back - front) / 2, np.sin(turn), np.cos(turn)]
    rows += [spine_x, spine_y, furrow, fat, np.zeros_like(z)]
    return Profile(float(z[0]), torch.tensor(np.stack(rows), dtype=torch.float32))


def _over_tip(v: Vertebra) -> Array:
    """The tip of a spinous process with what covers it, fat apart."""
    cover = "neck" if v.size.level.startswith("C") else "lumbar" if v.size.lumbar else "thoracic"
    return np.asarray(v.spinous_tip() + np.array([0.0, number("skin", f"over_spinous_tip_{cover}"), 0.0]))


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
    up = vertebrae[0].axes[2]
    neck = centres[-1] + up * (top - centres[-1, 2]) / up[2] - np.array([0.0, 4.0, 0.0])
    line = np.concatenate([[[0.0, 8.0, hip]], [[0.0, 4.0, -20.0]], centres, neck[None]])
    return _blur(np.interp(z, line[:, 2], line[:, 0]), 10.0), _blur(np.interp(z, line[:, 2], line[:, 1]), 10.0)


def _over_cage(z: Array, own: Array, cage: Cage, cover_mm: float) -> Array:
    """The front extent of the skin, clear of the cage: below each rib it may draw in by 4 mm in 10."""
    out = own.copy()
    for rib in range(2, 7):
        p = cage.point(float(rib), 180.0)
        out = np.maximum(out, -p[1] + cover_mm - 0.4 * np.abs(z - p[2]))
    return _blur(out, 9.0)


def _beside_cage(z: Array, own: Array, middle: Array, depth: Array, cage: Cage, sign: float, cover_mm: float) -> Array:
    """A side extent of the skin that clears the ribs, which may leave the section where it is already narrow (its depth)."""
    out = own.copy()
    for rib in range(2, len(cage.height_mm)):
        for angle in (50.0, 70.0, 90.0) if rib < 10 else (50.0, 70.0):
            p = cage.point(float(rib), sign * angle)
            v = min(abs(float(np.interp(p[2], z, (p[1] - middle) / depth))), 0.8)
            out = np.maximum(out, (sign * p[0] + cover_mm) / (1 - v**2.5) ** 0.4 - 0.4 * np.abs(z - p[2]))
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


def _over(values: Array, sigma_mm: float) -> Array:
    """A smooth curve that stays above its values: the largest within a standard deviation, blurred."""
    reach = round(sigma_mm / STEP_MM)
    padded = np.pad(values, reach, mode="edge")
    return _blur(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1), sigma_mm)


def _blur(values: Array, sigma_mm: float) -> Array:
    reach = np.arange(-int(3 * sigma_mm), int(3 * sigma_mm) + 1)
    kernel = np.exp(-(reach**2) / (2 * sigma_mm**2))
    return np.convolve(np.pad(values, len(reach) // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
