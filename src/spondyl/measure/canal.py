"""The spinal canal of one vertebra: the hole in its shadow along its own axis. It tells body from arch and front from back.

Seen along its axis a vertebra is a ring with the body in front. The hole's front edge is the back wall of the body. The
ring's best mirror line is the vertebra's sagittal axis: it agrees with the line from body to canal of Aaro and Dahlborn
(1981, Spine 6:460), but rests on body, pedicles, laminae and transverse processes together. The spinous process, which
bends in scoliosis, has no say.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from spondyl.measure.level_mask import Frame, LevelMask, frame_along, lattice

STEP_MM = 1.0
DEPTH_STEP_MM = 1.5
# Smallest hole taken for a canal. An adult canal is 17 x 15 mm and more (Panjabi 1991), a toddler's 12 x 10; a
# misjudged axis narrows its shadow, and transverse foramina (5 to 7 mm across, 30 mm2) must not pass [engineering].
SMALLEST_CANAL_MM2 = 45.0
# The body is at least this share as deep along the axis as the deepest column in front of the canal [engineering].
BODY_SHARE = 0.25
# Columns count as this deep at most in the search for the mirror line, mm, so that the arch weighs beside the body;
# nothing further behind the canal's centre counts: there the spinous process begins [engineering].
MIRROR_DEPTH_MM = 12.0
MIRROR_BACK_MM = 12.0
# The mirror line is searched this far from the line body-canal, and from a posterior axis already found, degrees;
# in coarse steps, then in fine ones.
MIRROR_SEARCH_DEG, MIRROR_AGAIN_DEG = 30.0, 6.0
MIRROR_STEPS_DEG = (3.0, 0.5)
# Transverse processes and pedicle stubs are thinner than twice this, bodies are not, mm [engineering].
OPENING_MM = 4.0
# Directions tried where the first axis shows no hole, degrees from it.
SEARCH_DEG = (12.0, 24.0, 36.0)


@dataclass(frozen=True, eq=False)
class Canal:
    """Where the canal and the body lie, in the world.

    Args:
        centre_mm: a point of the canal's axis, level with the frame's origin.
        body_mm: a point in the middle of the body.
        posterior: unit vector from body to canal, perpendicular to the axis looked along.
        cranial: the axis looked along.
        wall_mm: distance of the body's back wall in front of the canal's centre.
        area_mm2: of the hole.
    """

    centre_mm: Float[ndarray, "3"]
    body_mm: Float[ndarray, "3"]
    posterior: Float[ndarray, "3"]
    cranial: Float[ndarray, "3"]
    wall_mm: float
    area_mm2: float


def find_canal(mask: LevelMask, frame: Frame) -> Canal | None:
    """The canal seen along the frame's cranial axis, or along the best of the directions around it; None without one."""
    canal = _look_along(mask, frame, None)
    if canal is not None:
        return canal
    found = [c for c in (_look_along(mask, turned, None) for turned in _around(frame)) if c is not None]
    return max(found, key=lambda c: c.area_mm2, default=None)


def find_canal_again(mask: LevelMask, frame: Frame) -> Canal | None:
    """The canal seen along a better axis, in a frame whose posterior axis is known to MIRROR_AGAIN_DEG already."""
    return _look_along(mask, frame, np.array([0.0, 1.0]))


def _around(frame: Frame) -> list[Frame]:
    left, posterior, cranial = frame.axes
    turned = []
    for tilt in np.radians(SEARCH_DEG):
        for way in np.radians(np.arange(0, 360, 45)):
            lean = np.cos(way) * left + np.sin(way) * posterior
            turned.append(frame_along(frame.centre_mm, np.cos(tilt) * cranial + np.sin(tilt) * lean, posterior))
    return turned


def _look_along(mask: LevelMask, frame: Frame, known: Float[ndarray, "2"] | None) -> Canal | None:
    points = frame.to_local(mask.points_mm)
    step = (STEP_MM, STEP_MM, max(DEPTH_STEP_MM, 0.5 * mask.voxel_mm))
    margin = mask.voxel_mm + STEP_MM
    at = lattice(points.min(axis=0) - margin, points.max(axis=0) + margin, step)
    solid = mask.sample(frame, at) > 0.5
    depth_mm = solid.sum(axis=0) * step[2]
    hole = _largest_hole(depth_mm > 0)
    area = float(hole.sum()) * STEP_MM**2
    if area < SMALLEST_CANAL_MM2:
        return None
    p, l = np.meshgrid(at.posterior_mm, at.left_mm, indexing="ij")
    place = np.stack([l, p], axis=-1)
    centre = place[hole].mean(axis=0)
    towards, body = _body_in_front(place, depth_mm, hole, centre)
    if body is None:
        return None
    near, reach = (towards, MIRROR_SEARCH_DEG) if known is None else (known, MIRROR_AGAIN_DEG)
    towards = _mirror_line(place, depth_mm, centre, near, reach)
    wall = -_front_edge(place[hole] - centre, towards)
    middle = np.hypot(*(place - body).transpose(2, 0, 1)) < 4
    height = (at.cranial_mm[:, None] * solid[:, middle]).sum() / max(solid[:, middle].sum(), 1)
    left, posterior, cranial = frame.axes
    return Canal(
        centre_mm=frame.to_world(np.array([*centre, 0.0])),
        body_mm=frame.to_world(np.array([*body, height])),
        posterior=towards[0] * left + towards[1] * posterior,
        cranial=cranial,
        wall_mm=wall,
        area_mm2=area,
    )


def _largest_hole(shadow: Bool[ndarray, "p l"]) -> Bool[ndarray, "p l"]:
    closed = ndimage.binary_closing(np.pad(shadow, 2), np.ones((3, 3), dtype=bool))[2:-2, 2:-2] | shadow
    holes, count = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    if count == 0:
        return np.zeros_like(shadow)
    return np.asarray(holes == 1 + np.argmax(np.bincount(holes.ravel())[1:]))


def _body_in_front(
    place: Float[ndarray, "p l 2"],
    depth_mm: Float[ndarray, "p l"],
    hole: Bool[ndarray, "p l"],
    centre: Float[ndarray, "2"],
) -> tuple[Float[ndarray, "2"], Float[ndarray, "2"] | None]:
    """Direction from the body to the canal and the body's centre, both in the shadow's plane; None without a body."""
    towards, body = np.array([0.0, 1.0]), None
    for _ in range(8):  # each round turns the front half-plane to the body found in the last
        aside = np.array([towards[1], -towards[0]])
        back, side = (place - centre) @ towards, (place - centre) @ aside
        wall = _front_edge(place[hole] - centre, towards)
        front = (back < wall) & (np.abs(side) < 35) & (back > wall - 50)
        deepest = depth_mm[front & (np.abs(side) < np.abs(side[hole]).max())]
        shadow = widest_piece(front & (depth_mm >= BODY_SHARE * (deepest.max() if deepest.size else np.inf)))
        if not shadow.any():
            return towards, None
        body = place[shadow].mean(axis=0)
        turned = (centre - body) / np.linalg.norm(centre - body)
        if np.abs(turned - towards).max() < 1e-3:
            break
        towards = turned
    return towards, body


def _front_edge(hole: Float[ndarray, "n 2"], towards: Float[ndarray, "2"]) -> float:
    """Position along `towards` of the canal's front, relative to its centre: median over its middle of the foremost."""
    back, side = hole @ towards, hole @ np.array([towards[1], -towards[0]])
    middle = np.abs(side) <= max(0.4 * np.abs(side).max(), STEP_MM)
    column = np.round(side[middle] / STEP_MM).astype(int)
    foremost = [back[middle][column == c].min() for c in np.unique(column)]
    return float(np.median(foremost)) - STEP_MM / 2


def _mirror_line(
    place: Float[ndarray, "p l 2"],
    depth_mm: Float[ndarray, "p l"],
    centre: Float[ndarray, "2"],
    near: Float[ndarray, "2"],
    reach: float,
) -> Float[ndarray, "2"]:
    """The direction near `near` about which the shadow is its own mirror image best, sideways shifts allowed."""
    capped = ndimage.gaussian_filter(np.minimum(depth_mm, MIRROR_DEPTH_MM).astype(np.float64), 1.0)
    side, back = np.meshgrid(np.arange(-45.0, 46.0), np.arange(-45.0, MIRROR_BACK_MM + 1))

    def asymmetry(angle_deg: float) -> float:
        towards = _turned(near, angle_deg)
        at = centre + side[..., None] * np.array([towards[1], -towards[0]]) + back[..., None] * towards - place[0, 0]
        seen = ndimage.map_coordinates(capped, [at[..., 1] / STEP_MM, at[..., 0] / STEP_MM], order=1)
        return min(float(np.abs(seen - np.roll(seen[:, ::-1], shift, axis=1)).sum()) for shift in range(-4, 5))

    coarse, fine = MIRROR_STEPS_DEG
    rough = min(np.arange(-reach, reach + coarse / 2, coarse), key=asymmetry)
    best = min(rough + np.arange(-coarse, coarse + fine / 2, fine), key=asymmetry)
    return _turned(near, best)


def _turned(direction: Float[ndarray, "2"], angle_deg: float) -> Float[ndarray, "2"]:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([c * direction[0] - s * direction[1], s * direction[0] + c * direction[1]])


def widest_piece(section: Bool[ndarray, "p l"]) -> Bool[ndarray, "p l"]:
    """The largest piece of a section at STEP_MM that a disc of OPENING_MM fits into; what is thinner is taken away."""
    r = round(OPENING_MM / STEP_MM)
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    opened = ndimage.binary_opening(np.pad(section, r), x**2 + y**2 <= r**2)[r:-r, r:-r]
    pieces, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(section)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
