"""The superior endplate of S1, found in the sacrum's label straight below the lowest lumbar body."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from spondyl.measure.body import FEWEST_COLUMNS, Body
from spondyl.measure.endplates import CENTRAL_SHARE, STEP_MM, Columns, Outline, Plane, fit_plane, outline
from spondyl.measure.level_mask import Frame, LevelMask, frame_along, lattice

ROUNDS = 5
# Deepest L5/S1 disc that is looked across, mm: twice the mean of 11 mm, and the tilt between the endplates on top.
DEEPEST_DISC_MM = 40.0
# Bone this near the plane belongs to the endplate; beyond it the alae fall away, mm [engineering].
RIM_MM = 2.5
# S1's endplate is 50 x 32 mm under an L5 of 49 x 33 mm (Panjabi 1992); nothing wider than this share is believed.
WIDEST_SHARE = 1.25
# The alae's sideways spread must beat the depth's by this factor before it sets the left-right axis [engineering].
ELONGATED = 1.3


@dataclass(frozen=True, eq=False)
class SacralEndplate:
    """S1's superior endplate: its plane and outline in a frame, and the share of it that the scan's field holds."""

    frame: Frame
    plane: Plane
    outline: Outline
    visible: float

    def endplate_mm(self) -> Float[ndarray, "3 3"]:
        """Centre, left and posterior half-axis vector, world."""
        return self.frame.ellipse_to_world(self.plane.half_axes_mm(self.outline))


def find_sacral_endplate(mask: LevelMask, above: Body) -> SacralEndplate | None:
    """S1's superior endplate below a lumbar body; None where the sacrum does not lie there."""
    ends = above.endplates_mm()
    normal = above.planes[1].normal() @ above.frame.axes
    frame = frame_along(ends[1, 0], normal, above.frame.axes[1])
    ellipse = Outline(np.zeros(2), above.outlines[1].half_mm)
    share, search = 0.6, (-DEEPEST_DISC_MM, 5.0)
    found = None
    for _ in range(ROUNDS):
        cols = _tops(mask, frame, WIDEST_SHARE * ellipse.half_mm, search)
        ends_here = (ellipse.radius(cols.left_mm, cols.posterior_mm) <= share) & np.isfinite(cols.top_mm)
        seen = ends_here & ~cols.top_cut
        if seen.sum() < FEWEST_COLUMNS:
            return found
        voxel_mm = mask.thickness_mm(frame.axes[2])
        plane = fit_plane(cols.left_mm[seen], cols.posterior_mm[seen], cols.top_mm[seen], voxel_mm)
        rim = _near(plane, cols, ellipse)
        visible = float(seen.sum() / ends_here.sum())
        found = SacralEndplate(frame, plane, outline(rim, cols) or ellipse, visible)
        ends_now = found.endplate_mm()
        left = _left_axis(mask, frame_along(ends_now[0], plane.normal() @ frame.axes, frame.axes[1]))
        frame = frame_along(ends_now[0], plane.normal() @ frame.axes, np.cross(plane.normal() @ frame.axes, left))
        ellipse = Outline(np.zeros(2), np.minimum(found.outline.half_mm, WIDEST_SHARE * above.outlines[1].half_mm))
        share, search = CENTRAL_SHARE, (-12.0, 12.0)
    return found


def _tops(mask: LevelMask, frame: Frame, reach_mm: Float[ndarray, "2"], search_mm: tuple[float, float]) -> Columns:
    """The first bone met in every column, coming down the frame's cranial axis through the search range."""
    low, high = np.array([*-reach_mm, search_mm[0]]), np.array([*reach_mm, search_mm[1]])
    at = lattice(low, high, STEP_MM)
    occupancy = mask.sample(frame, at)[::-1]
    heights = at.cranial_mm[::-1]
    solid = occupancy > 0.5
    k = np.argmax(solid, axis=0)
    now = np.take_along_axis(occupancy, k[None], axis=0)[0]
    before = np.take_along_axis(occupancy, np.maximum(k - 1, 0)[None], axis=0)[0]
    part = (now - 0.5) / np.maximum(now - before, 1e-6)
    top = np.where(solid.any(axis=0) & (k > 0), heights[k] + part * STEP_MM[2], np.nan)
    posterior, left = np.meshgrid(at.posterior_mm, at.left_mm, indexing="ij")
    cut = mask.at_field_edge(frame.to_world(np.stack([left, posterior, np.nan_to_num(top)], axis=-1)))
    return Columns(left, posterior, top, np.full_like(top, np.nan), cut, np.zeros_like(cut))


def _near(plane: Plane, cols: Columns, ellipse: Outline) -> Bool[ndarray, "p l"]:
    """Columns that end at the plane and hang together with its middle."""
    off = np.abs(np.nan_to_num(cols.top_mm, nan=1e3) - plane.at(cols.left_mm, cols.posterior_mm))
    close = (off < RIM_MM) & (ellipse.radius(cols.left_mm, cols.posterior_mm) <= WIDEST_SHARE)
    return np.asarray(ndimage.binary_fill_holes(close))


def _left_axis(mask: LevelMask, frame: Frame) -> Float[ndarray, "3"]:
    """The sacrum's left: the direction of its alae's spread below the endplate, or the vertebra's above where unclear."""
    local = frame.to_local(mask.points_mm)
    upper = local[(local[:, 2] < 0) & (local[:, 2] > -25) & (np.abs(local[:, 0]) < 70)][:, :2]
    if len(upper) < FEWEST_COLUMNS or mask.touches_field_edge():
        return np.asarray(frame.axes[0])
    spread, directions = np.linalg.eigh(np.cov(upper.T))
    along = directions[:, 1] * np.sign(directions[0, 1])
    if np.sqrt(spread[1] / max(spread[0], 1e-6)) < ELONGATED or abs(along[0]) < np.cos(np.radians(30)):
        return np.asarray(frame.axes[0])
    return np.asarray(along[:2] @ frame.axes[:2])
