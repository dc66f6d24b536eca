"""A vertebral body's two endplates from its occupancy: columns through the body, robust planes, elliptical outline."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from spondyl.measure.canal import widest_piece
from spondyl.measure.level_mask import Frame, Lattice, LevelMask, lattice

# Half size of the box that is searched for the body, mm: larger than any adult lumbar vertebra (Panjabi 1992).
REACH_MM = (36.0, 46.0, 32.0)
STEP_MM = (1.0, 1.0, 0.5)
# The planes are fitted inside this share of the outline's radius: the rim is rounded and carries osteophytes.
CENTRAL_SHARE = 0.8
# The outline is read this far inside the endplate, mm, where the rounded rim has reached its full width [engineering].
OUTLINE_DEPTH_MM = 2.0
# The rim is looked for in this ring of the outline, and no dish is taken for deeper than this, mm: concavity is 1 to 1.5
# thoracic and 2 to 3 lumbar.
RIM_SHARES = (0.8, 0.95)
DEEPEST_DISH_MM = 3.0
# Tukey's biweight: 95 % efficiency on normal residuals (Huber and Ronchetti 2009, section 4.8).
TUKEY = 4.685
# Windows along the depth of the midsagittal section, front 0 to back 1 [engineering]: inside the rounded corners,
# which a label of 1 mm voxels loses. The section is this share of the half width thick to either side.
WINDOWS = ((0.08, 0.22), (0.43, 0.57), (0.78, 0.92))
ACROSS = 0.35


@dataclass(frozen=True, eq=False)
class Plane:
    """A surface z = height + slopes . (left, posterior) in a frame, mm, with its residual's spread and inlier share."""

    height_mm: float
    slopes: Float[ndarray, "2"]
    residual_mm: float
    inlier_share: float

    def at(self, left_mm: Float[ndarray, "*n"], posterior_mm: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
        """Height over points of the frame's base plane."""
        return np.asarray(self.height_mm + self.slopes[0] * left_mm + self.slopes[1] * posterior_mm)

    def half_axes_mm(self, ellipse: "Outline") -> Float[ndarray, "3 3"]:
        """An outline lifted onto the plane, in the frame: its centre, its left and its posterior half-axis vector."""
        (x, y), (a, b), (sx, sy) = ellipse.centre_mm, ellipse.half_mm, self.slopes
        return np.array([[x, y, self.height_mm + sx * x + sy * y], [a, 0.0, sx * a], [0.0, b, sy * b]])

    def normal(self) -> Float[ndarray, "3"]:
        """Unit normal in the frame, pointing cranially."""
        n = np.array([-self.slopes[0], -self.slopes[1], 1.0])
        return np.asarray(n / np.linalg.norm(n))


@dataclass(frozen=True, eq=False)
class Outline:
    """An ellipse in a frame's base plane along its axes: centre and half sizes (left, posterior), mm."""

    centre_mm: Float[ndarray, "2"]
    half_mm: Float[ndarray, "2"]

    def radius(self, left_mm: Float[ndarray, "*n"], posterior_mm: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
        """1 on the ellipse, less inside."""
        a, b = self.half_mm
        return np.asarray(np.hypot((left_mm - self.centre_mm[0]) / a, (posterior_mm - self.centre_mm[1]) / b))


@dataclass(frozen=True, eq=False)
class Columns:
    """Where columns along the frame's cranial axis leave the bone above and below; NaN off the body."""

    left_mm: Float[ndarray, "p l"]
    posterior_mm: Float[ndarray, "p l"]
    top_mm: Float[ndarray, "p l"]
    bottom_mm: Float[ndarray, "p l"]
    top_cut: Bool[ndarray, "p l"]
    bottom_cut: Bool[ndarray, "p l"]


def body_box(
    frame: Frame, mask: LevelMask, wall_mm: float, reach: Float[ndarray, "3"]
) -> tuple[Lattice, Float[ndarray, "c p l"]]:
    """Occupancy within reach of the frame's origin, nothing behind the wall (posterior distance from the origin), mm."""
    high = reach.copy()
    high[1] = min(reach[1], wall_mm)
    at = lattice(-reach, high, STEP_MM)
    occupancy = mask.sample(frame, at)
    occupancy[:, at.posterior_mm > wall_mm] = 0
    return at, occupancy


def columns(frame: Frame, mask: LevelMask, at: Lattice, occupancy: Float[ndarray, "c p l"]) -> Columns:
    """The unbroken run of bone through the frame's base plane in every column, to a fraction of a sample."""
    middle = int(np.argmin(np.abs(at.cranial_mm)))
    posterior, left = np.meshgrid(at.posterior_mm, at.left_mm, indexing="ij")
    solid = occupancy[middle] > 0.5
    up = _first_exit(occupancy[middle:]) * STEP_MM[2]
    down = -_first_exit(occupancy[middle::-1]) * STEP_MM[2]
    top, bottom = (np.where(solid, h + at.cranial_mm[middle], np.nan) for h in (up, down))
    cut = [
        mask.at_field_edge(frame.to_world(np.stack([left, posterior, np.nan_to_num(h)], axis=-1)))
        for h in (top, bottom)
    ]
    return Columns(left, posterior, top, bottom, cut[0], cut[1])


def _first_exit(run: Float[ndarray, "c p l"]) -> Float[ndarray, "p l"]:
    """Samples from the start to where occupancy first falls through a half; NaN where it never does."""
    below = run <= 0.5
    k = np.argmax(below, axis=0)
    before = np.take_along_axis(run, np.maximum(k - 1, 0)[None], axis=0)[0]
    after = np.take_along_axis(run, k[None], axis=0)[0]
    exact = (k - 1) + (before - 0.5) / np.maximum(before - after, 1e-6)
    return np.where(below.any(axis=0) & (k > 0), exact, np.nan)


def outline(solid: Bool[ndarray, "p l"], cols: Columns) -> Outline | None:
    """The ellipse with the second moments of the body's section; processes are opened away first. None for no section.

    A uniform ellipse of half size a has variance a^2/4 along that axis.
    """
    body = widest_piece(solid)
    if not body.any():
        return None
    place = np.stack([cols.left_mm[body], cols.posterior_mm[body]], axis=-1)
    variance = place.var(axis=0) + np.square(STEP_MM[:2]) / 12
    return Outline(place.mean(axis=0), 2 * np.sqrt(variance))


def at_rim(
    plane: Plane,
    ellipse: Outline,
    cols: Columns,
    height_mm: Float[ndarray, "p l"],
    cut: Bool[ndarray, "p l"],
    outwards: float,
) -> Plane:
    """The plane moved outwards along the columns to the endplate's rim, whose corners a reader marks; its tilt stays."""
    radius = ellipse.radius(cols.left_mm, cols.posterior_mm)
    ring = (radius > RIM_SHARES[0]) & (radius <= RIM_SHARES[1]) & np.isfinite(height_mm) & ~cut
    if not ring.any():
        return plane
    rise = outwards * np.median(height_mm[ring] - plane.at(cols.left_mm[ring], cols.posterior_mm[ring]))
    return replace(plane, height_mm=plane.height_mm + outwards * float(np.clip(rise, 0, DEEPEST_DISH_MM)))


def fit_plane(
    left_mm: Float[ndarray, "n"], posterior_mm: Float[ndarray, "n"], height_mm: Float[ndarray, "n"], voxel_mm: float
) -> Plane:
    """Plane through heights by iterated reweighting with Tukey's biweight, started from the plain least squares.

    Deterministic. Schmorl's nodes, osteophytes and faults of the label lose their weight; the steps of the grid must
    not, so the scale never falls below the deviation of a rounding to `voxel_mm`, voxel_mm / sqrt(12).
    """
    design = np.stack([np.ones_like(left_mm), left_mm, posterior_mm], axis=-1)
    weight = np.ones_like(height_mm)
    solved, scale = np.zeros(3), 0.0
    for _ in range(20):
        root, before = np.sqrt(weight), solved
        solved = np.linalg.lstsq(design * root[:, None], height_mm * root, rcond=None)[0]
        residual = height_mm - design @ solved
        scale = max(1.4826 * float(np.median(np.abs(residual))), voxel_mm / 12**0.5)
        weight = np.square(np.clip(1 - np.square(residual / (TUKEY * scale)), 0, None))
        if np.abs(solved - before).max() < 1e-5:
            break
    return Plane(float(solved[0]), solved[1:], scale, float((weight > 0).mean()))


def heights_mm(cols: Columns, outlines: tuple[Outline, Outline]) -> Float[ndarray, "3"]:
    """Anterior, middle and posterior height of a body, mm; median of its columns in each window, NaN where none ends."""
    middle = (outlines[0].centre_mm[0] + outlines[1].centre_mm[0]) / 2
    half = (outlines[0].half_mm[0] + outlines[1].half_mm[0]) / 2
    height = np.where(cols.top_cut | cols.bottom_cut, np.nan, cols.top_mm - cols.bottom_mm)
    across = (np.abs(cols.left_mm - middle) <= ACROSS * half) & np.isfinite(height)
    if not across.any():
        return np.full(3, np.nan)
    first, last = np.percentile(cols.posterior_mm[across], (2, 98))
    if last - first < STEP_MM[1] / (WINDOWS[0][1] - WINDOWS[0][0]):
        return np.full(3, np.nan)
    along = (cols.posterior_mm - first) / (last - first)
    result = []
    for front, back in WINDOWS:
        inside = height[across & (along >= front) & (along <= back)]
        result.append(float(np.median(inside)) if inside.size else np.nan)
    return np.array(result)
