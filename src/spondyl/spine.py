"""The spine's words: levels, the three-dimensional truth (SpineCurve), its picture (Corners) and the angle words.

World LPS, millimetres, degrees. Levels run from cranial to caudal. T13, L6 and a spine with four lumbar vertebrae can be said.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View

LEVELS: tuple[str, ...] = (
    *(f"C{i}" for i in range(1, 8)),
    *(f"T{i}" for i in range(1, 14)),
    *(f"L{i}" for i in range(1, 7)),
    "S1",
)

# Label value of each level in a label map: the numbering of VerSe (T13 = 28, sacrum = 26), which is also ours.
LEVEL_LABELS: dict[str, int] = {
    **{f"C{i}": i for i in range(1, 8)},
    **{f"T{i}": 7 + i for i in range(1, 13)},
    **{f"L{i}": 19 + i for i in range(1, 7)},
    "S1": 26,
    "T13": 28,
}

Side = Literal["left", "right"]


def level_index(level: str) -> int:
    """Position of a level in LEVELS, cranial to caudal. Raises ValueError for an unknown one."""
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; wanted one of {LEVELS[0]} to {LEVELS[-1]} (T13 and L6 included)")
    return LEVELS.index(level)


def _check_levels(levels: Sequence[str]) -> None:
    order = [level_index(level) for level in levels]
    if any(b <= a for a, b in itertools.pairwise(order)):
        raise ValueError(f"levels are {' '.join(levels)}; wanted each once, from cranial to caudal")


@dataclass(frozen=True, eq=False)
class SpineCurve:
    """The exact three-dimensional spine, one row a visible level.

    Args:
        levels: names from LEVELS, cranial to caudal.
        centres_mm: centres of the vertebral bodies, world LPS.
        axes: unit vectors of each body in the world, as rows: its own left, posterior and cranial axis.
        sizes_mm: body width (left-right), depth (antero-posterior) and height, mm; NaN where unknown.
        endplates_mm: superior and inferior endplate as an ellipse: row 0 its centre, row 1 the half-axis vector to
            the vertebra's left, row 2 the half-axis vector to its posterior side (world mm). Its normal, row 1 x row 2,
            points cranially. S1 has a superior endplate only: its inferior one is NaN.
    """

    levels: tuple[str, ...]
    centres_mm: Float[Tensor, "l 3"]
    axes: Float[Tensor, "l 3 3"]
    sizes_mm: Float[Tensor, "l 3"]
    endplates_mm: Float[Tensor, "l 2 3 3"]

    def __post_init__(self) -> None:
        _check_levels(self.levels)
        n = len(self.levels)
        for name, shape in (
            ("centres_mm", (n, 3)),
            ("axes", (n, 3, 3)),
            ("sizes_mm", (n, 3)),
            ("endplates_mm", (n, 2, 3, 3)),
        ):
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} has shape {got}; wanted {shape} for {n} levels")
        if not bool(torch.isfinite(self.centres_mm).all()):
            raise ValueError("centres_mm holds NaN or infinite numbers; leave a level out instead")
        gram = self.axes.double() @ self.axes.double().mT
        # written so that a NaN fails too
        if n and not float((gram - torch.eye(3, dtype=torch.float64)).abs().max()) <= 1e-3:
            raise ValueError("axes are not orthonormal; wanted three unit vectors (left, posterior, cranial) a level")
        if n and bool((torch.linalg.det(self.axes.double()) < 0).any()):
            raise ValueError("axes mirror; wanted left x posterior = cranial at every level")

    def index(self, level: str) -> int:
        """Row of a level. Raises ValueError where it is not visible."""
        if level not in self.levels:
            if not self.levels:
                raise ValueError(f"{level} is not in this spine, which has no level at all")
            raise ValueError(
                f"{level} is not in this spine ({self.levels[0]} to {self.levels[-1]}); nothing is extrapolated"
            )
        return self.levels.index(level)

    def endplate_normals(self) -> Float[Tensor, "l 2 3"]:
        """Unit normals of the superior and inferior endplates, pointing cranially."""
        normal = torch.linalg.cross(self.endplates_mm[:, :, 1], self.endplates_mm[:, :, 2])
        return torch.nn.functional.normalize(normal, dim=-1)

    def endplate_rims_mm(self, points: int = 720) -> Float[Tensor, "l 2 n 3"]:
        """Points around each endplate's elliptical rim, world mm."""
        like = self.endplates_mm
        phi = torch.arange(points, dtype=like.dtype, device=like.device) * (2 * math.pi / points)
        centre, left, back = like[:, :, None, 0], like[:, :, None, 1], like[:, :, None, 2]
        return centre + left * phi.cos()[:, None] + back * phi.sin()[:, None]

    def project(self, view: View) -> "Corners":
        """The corners that a reader would click in this view: the ends of each endplate's silhouette.

        The rim of each endplate is projected with the view's own perspective; its two points furthest apart along the
        image row are the corners. The chord between them is the default truth of an angle in a picture. It is not
        the tilt of the endplate's normal: on 44 simulated cone films the Cobb angle of the chords less that of the normals was
        -0.4 degrees on average, -3.1 to +2.3.
        """
        if view.batch_shape != ():
            raise ValueError(f"project wants one view, not a batch of {tuple(view.batch_shape)}; index the batch first")
        first, last = (self._rim_end(view, side) for side in (-1, 1))
        corners = torch.stack([first, last], dim=2).reshape(len(self.levels), 4, 2)
        confidence = torch.isfinite(corners).all(dim=2).to(corners.dtype).mean(dim=1)
        return Corners(self.levels, corners, confidence, view)

    def _rim_end(self, view: View, side: int) -> Float[Tensor, "l 2 2"]:
        """Pixel of each endplate's rim point with the smallest (side -1) or largest (side 1) u; NaN where there is none."""
        points = 90
        phi = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points)
        u = side * self._rim_pixels(view, phi.expand(len(self.levels), 2, points))[..., 1]
        top = torch.nan_to_num(u, nan=-math.inf).argmax(dim=-1, keepdim=True)
        # u is smooth in phi: three parabola steps find the extremum far below what a finer sampling would
        best, step = phi[top], 2 * math.pi / points
        for _ in range(3):
            around = torch.cat([best - step, best, best + step], dim=-1)
            low, mid, high = (side * self._rim_pixels(view, around)[..., 1]).unbind(dim=-1)
            bend = low - 2 * mid + high
            shift = torch.where(bend < 0, (low - high) / (2 * bend), torch.zeros_like(bend)).clamp(-1, 1)
            best, step = best + step * shift[..., None], step / 4
        return self._rim_pixels(view, best)[..., 0, :].to(self.endplates_mm.dtype)

    def _rim_pixels(self, view: View, phi: Float[Tensor, "l 2 n"]) -> Float[Tensor, "l 2 n 2"]:
        """Pixels of rim points at angle phi from the vertebra's left towards its back, float64."""
        plate = self.endplates_mm.double()
        turn = torch.stack([torch.ones_like(phi), phi.cos(), phi.sin()], dim=-1)
        points = (turn @ plate).reshape(-1, 3).to(view.device)
        return view.to(dtype=torch.float64).project_points(points).reshape(*phi.shape, 2).cpu()

    def subset(self, levels: Sequence[str]) -> "SpineCurve":
        """The same spine with these levels only, in cranial to caudal order."""
        rows = [self.index(level) for level in sorted(levels, key=level_index)]
        return SpineCurve(
            tuple(self.levels[r] for r in rows),
            self.centres_mm[rows],
            self.axes[rows],
            self.sizes_mm[rows],
            self.endplates_mm[rows],
        )


@dataclass(frozen=True, eq=False)
class Corners:
    """Four corners of each visible vertebra in one picture.

    Args:
        levels: names from LEVELS, cranial to caudal.
        corners_px: (v, u) pixel positions in the order superior low-u, superior high-u, inferior low-u, inferior high-u;
            NaN where a corner is not visible (the inferior endplate of S1 always).
        confidence: one number in [0, 1] a level.
        view: the exposure, where it is known. Without it pixels are taken as square.
        spread_px: SD of every coordinate, where a reader states it.
    """

    levels: tuple[str, ...]
    corners_px: Float[Tensor, "l 4 2"]
    confidence: Float[Tensor, "l"]
    view: View | None = None
    spread_px: Float[Tensor, "l 4 2"] | None = None

    def __post_init__(self) -> None:
        _check_levels(self.levels)
        n = len(self.levels)
        if tuple(self.corners_px.shape) != (n, 4, 2):
            raise ValueError(f"corners_px has shape {tuple(self.corners_px.shape)}; wanted {(n, 4, 2)} for {n} levels")
        if tuple(self.confidence.shape) != (n,):
            raise ValueError(f"confidence has shape {tuple(self.confidence.shape)}; wanted {(n,)}")
        if self.spread_px is not None and self.spread_px.shape != self.corners_px.shape:
            raise ValueError(f"spread_px has shape {tuple(self.spread_px.shape)}; wanted {(n, 4, 2)} for {n} levels")

    def tilts_deg(self, *, u_magnification: float | None = None) -> Float[Tensor, "l 2"]:
        """Tilt of the superior and inferior endplate chord: degrees that the high-u end lies above the low-u end.

        A slot magnifies u and not v, so its picture is wider than the patient and every tilt in it too flat:
        `u_magnification`, source-detector over source-spine distance, takes that back (see `View.magnification`).

        Raises:
            ValueError: for a slot view without `u_magnification`.
        """
        if u_magnification is None and self.view is not None and self.view.beam == "slot":
            raise ValueError("a slot view magnifies u only; give u_magnification (source-detector over source-spine)")
        dv, du = (1.0, 1.0) if self.view is None else self.view.pixel_spacing_mm
        du = du / (1.0 if u_magnification is None else u_magnification)
        chord = self.corners_px.reshape(-1, 2, 2, 2)
        step = chord[:, :, 1] - chord[:, :, 0]
        return torch.rad2deg(torch.atan2(-step[..., 0] * dv, step[..., 1] * du))


@dataclass(frozen=True, eq=False)
class UltrasoundMarks:
    """Landmarks of vertebral arches on one coronal ultrasound image, pixels (v, u); they may lie outside of it.

    Pairs are (patient's left, right). NaN where one was not seen.

    Args:
        levels: cranial to caudal, without the sacrum.
        transverse_px: tips of the transverse processes: the thoracic ends of an ultrasound curve angle.
        laminae_px: the lumps of the laminae: its lumbar ends.
        spinous_px: tips of the spinous processes.
        confidence: one number in [0, 1] a level; None where the marks are the truth.
        spread_px: SD of every coordinate in the order transverse, laminae, spinous, where a reader states it.
    """

    levels: tuple[str, ...]
    transverse_px: Float[Tensor, "l 2 2"]
    laminae_px: Float[Tensor, "l 2 2"]
    spinous_px: Float[Tensor, "l 2"]
    confidence: Float[Tensor, "l"] | None = None
    spread_px: Float[Tensor, "l 5 2"] | None = None

    def __post_init__(self) -> None:
        _check_levels(self.levels)


@dataclass(frozen=True)
class Cobb:
    """One coronal curve: the angle between the superior endplate of `upper` and the inferior endplate of `lower`.

    angle_deg is never negative; `apex` is a level or a disc ("T8", "T8/T9"); `side` is the patient's side of the convexity.
    interval_deg is (low, high), or None where nobody has estimated it.
    """

    angle_deg: float
    upper: str
    lower: str
    apex: str
    side: Side
    interval_deg: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.angle_deg <= 180:
            raise ValueError(f"angle_deg is {self.angle_deg}; wanted a value in [0, 180]")
        if level_index(self.upper) > level_index(self.lower):
            raise ValueError(f"upper {self.upper} lies below lower {self.lower}; swap them")
        if self.side not in ("left", "right"):
            raise ValueError(f"side is {self.side!r}; wanted 'left' or 'right', of the patient")


@dataclass(frozen=True)
class Sagittal:
    """One sagittal angle between two named endplates; kyphosis is positive in `kyphosis_deg`, lordosis negative.

    `upper` and `lower` name level and endplate ("T4 superior", "T12 inferior", "S1 superior").
    """

    kyphosis_deg: float
    upper: str
    lower: str
    interval_deg: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.kyphosis_deg):
            raise ValueError(f"kyphosis_deg is {self.kyphosis_deg}; wanted a finite angle, or no Sagittal at all")

    @property
    def lordosis_deg(self) -> float:
        """The same angle with lordosis counted positive."""
        return -self.kyphosis_deg
