"""The body of one vertebra found in its label: frame, endplates and outlines; the arch does not pull on it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from spondyl.measure.canal import Canal, find_canal, find_canal_again
from spondyl.measure.endplates import (
    CENTRAL_SHARE,
    OUTLINE_DEPTH_MM,
    REACH_MM,
    STEP_MM,
    Columns,
    Outline,
    Plane,
    at_rim,
    body_box,
    columns,
    fit_plane,
    outline,
)
from spondyl.measure.level_mask import Frame, Lattice, LevelMask, frame_along

ROUNDS = 6
# Change of an axis, radians, below which the frame counts as found; its error enters a normal only squared.
SETTLED = 4e-3
# Largest angle between the endplates of one body, and between its axis and the line of centroids, degrees; congenital
# wedges reach 40 [engineering].
MOST_WEDGE_DEG = 50.0
MOST_TURN_DEG = 50.0
# Fewest columns (square millimetres) that carry an endplate; the smallest adult body, C3, has about 200.
FEWEST_COLUMNS = 40


@dataclass(frozen=True, eq=False)
class Body:
    """One vertebral body, measured in a frame along its own axis.

    Args:
        frame: origin in the body, posterior axis towards the canal.
        planes: superior and inferior endplate, in the frame.
        outlines: superior and inferior, in the frame's base plane.
        columns: exits of the columns along the frame's cranial axis.
        visible: share of the columns of the superior and of the inferior endplate that end inside the scan.
        inside: share of both endplates' rims inside the scan; a body cut from the side has a rim that reaches out of it.
        canal: None where no canal was found; the posterior axis is then a guess.
    """

    frame: Frame
    planes: tuple[Plane, Plane]
    outlines: tuple[Outline, Outline]
    columns: Columns
    visible: tuple[float, float]
    inside: float
    canal: Canal | None

    def endplates_mm(self) -> Float[ndarray, "2 3 3"]:
        """Superior and inferior ellipse as SpineCurve stores it: centre, left and posterior half-axis vector, world."""
        pairs = zip(self.planes, self.outlines, strict=True)
        return np.stack([self.frame.ellipse_to_world(plane.half_axes_mm(ellipse)) for plane, ellipse in pairs])

    def own_frame(self) -> Frame:
        """Origin midway between the endplates' centres, cranial axis the mean of their normals, posterior as measured."""
        ends = self.endplates_mm()
        up = (self.planes[0].normal() + self.planes[1].normal()) @ self.frame.axes
        return frame_along(ends[:, 0].mean(axis=0), up, self.frame.axes[1])

    def size_mm(self) -> Float[ndarray, "3"]:
        """Width, depth and height."""
        half = (self.outlines[0].half_mm + self.outlines[1].half_mm) / 2
        ends = self.endplates_mm()
        return np.array([*(2 * half), np.linalg.norm(ends[0, 0] - ends[1, 0])])


def find_body(mask: LevelMask, start: Frame) -> Body | None:
    """The body in a label, looking first along `start`; None where no body can be told from the label."""
    canal = find_canal(mask, start)
    if canal is None:
        frame = Frame(mask.thickest_mm(), start.axes)
    else:
        frame = frame_along(canal.body_mm, canal.cranial, canal.posterior)
    body = _measure(mask, frame, canal, np.array(REACH_MM))
    for _ in range(ROUNDS):
        if body is None:
            return None
        better = body.own_frame()
        canal = None if canal is None else find_canal_again(mask, better) or canal
        if canal is not None:
            better = frame_along(better.centre_mm, better.axes[2], canal.posterior)
        settled = np.abs(better.axes - body.frame.axes).max() < SETTLED
        body = _measure(mask, better, canal, np.minimum(REACH_MM, 0.75 * body.size_mm() + 6.0))
        if settled:
            break
    return body if body is not None and _plausible(body, start) else None


def _plausible(body: Body, start: Frame) -> bool:
    """Whether the endplates face each other, along the spine; a fit to a remnant or to a process does not."""
    top, bottom = (plane.normal() @ body.frame.axes for plane in body.planes)
    facing = np.degrees(np.arccos(np.clip(top @ bottom, -1, 1)))
    turned = np.degrees(np.arccos(np.clip(body.own_frame().axes[2] @ start.axes[2], -1, 1)))
    return bool(facing < MOST_WEDGE_DEG and turned < MOST_TURN_DEG)


@dataclass(frozen=True, eq=False)
class _Block:
    """The samples around a body, the columns through it, and how coarse a voxel is along them."""

    at: Lattice
    occupancy: Float[ndarray, "c p l"]
    columns: Columns
    voxel_mm: float


@dataclass(frozen=True, eq=False)
class _End:
    """One endplate: plane, outline, and the share of its columns that ends inside the scan."""

    plane: Plane
    outline: Outline
    seen: float


def _measure(mask: LevelMask, frame: Frame, canal: Canal | None, reach: Float[ndarray, "3"]) -> Body | None:
    """Columns along the frame's axis, then planes and outlines; None where they carry no endplates."""
    wall = np.inf if canal is None else float((canal.centre_mm - frame.centre_mm) @ frame.axes[1]) - canal.wall_mm
    at, occupancy = body_box(frame, mask, wall, reach)
    cols = columns(frame, mask, at, occupancy)
    waist = outline(np.isfinite(cols.top_mm) | np.isfinite(cols.bottom_mm), cols)
    if waist is None:
        return None
    block = _Block(at, occupancy, cols, mask.thickness_mm(frame.axes[2]))
    top = _end(block, waist, cols.top_mm, cols.top_cut, -OUTLINE_DEPTH_MM)
    bottom = _end(block, waist, cols.bottom_mm, cols.bottom_cut, OUTLINE_DEPTH_MM)
    if top is None or bottom is None:
        return None
    ends = [frame.ellipse_to_world(end.plane.half_axes_mm(end.outline)) for end in (top, bottom)]
    return Body(
        frame=frame,
        planes=(top.plane, bottom.plane),
        outlines=(top.outline, bottom.outline),
        columns=cols,
        visible=(top.seen, bottom.seen),
        inside=min(_rim_inside(end, mask) for end in ends),
        canal=canal,
    )


def _end(
    block: _Block, waist: Outline, height_mm: Float[ndarray, "p l"], cut: Bool[ndarray, "p l"], inwards_mm: float
) -> _End | None:
    """The endplate that the columns end on: first inside the waist's outline, then inside its own.

    Endplates are dishes. A fit that sits off their middle takes a part of the dish's wall for tilt.
    """
    cols, ellipse = block.columns, waist
    for _ in range(2):
        ends = (ellipse.radius(cols.left_mm, cols.posterior_mm) <= CENTRAL_SHARE) & np.isfinite(height_mm)
        seen = ends & ~cut
        # A surface off the scan still gets a plane, so that the caller can say what was cut.
        use = seen if seen.sum() >= FEWEST_COLUMNS else ends
        if use.sum() < FEWEST_COLUMNS:
            return None
        plane = fit_plane(cols.left_mm[use], cols.posterior_mm[use], height_mm[use], block.voxel_mm)
        ellipse = _outline_at(plane, inwards_mm, block) or waist
    plane = at_rim(plane, ellipse, cols, height_mm, cut, outwards=-np.sign(inwards_mm))
    return _End(plane, ellipse, float(seen.sum() / ends.sum()))


def _outline_at(plane: Plane, depth_mm: float, block: _Block) -> Outline | None:
    """The body's outline on a plane parallel to an endplate, `depth_mm` above it."""
    height = plane.at(block.columns.left_mm, block.columns.posterior_mm) + depth_mm
    k = np.round((height - block.at.cranial_mm[0]) / STEP_MM[2]).astype(int)
    k = np.clip(k, 0, len(block.at.cranial_mm) - 1)
    return outline(np.take_along_axis(block.occupancy, k[None], axis=0)[0] > 0.5, block.columns)


def _rim_inside(ellipse_mm: Float[ndarray, "3 3"], mask: LevelMask) -> float:
    """Share of an endplate's rim inside the scan."""
    phi = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    around = np.stack([np.ones_like(phi), np.cos(phi), np.sin(phi)], axis=-1)
    return float((~mask.beyond_field(around @ ellipse_mm)).mean())
