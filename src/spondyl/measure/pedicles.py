"""Axial rotation from the pedicles of a frontal radiograph: Stokes's angle and Nash and Moe's grade.

Places are counted along each vertebra's own left-right line from the middle of its body, in half body widths, patient left
positive, so tilt and forward lean of the vertebra play no part in a parallel beam.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.plane import points_in_plane
from spondyl.spine import Corners, Side, level_index

# Half the distance of both pedicles over their depth behind the middle of the body, w / 2d, by level. From adult means
# (Panjabi 1991, 1992, Zindrick 1987, recalled from memory): w = canal width + pedicle width; d = a quarter of both
# endplates' depths (half the mean depth) + a fifth of the canal's depth, where a pedicle is seen end-on (an estimate).
PEDICLE_RATIO: dict[str, float] = {
    "C7": 1.32, "T1": 1.16, "T2": 0.98, "T3": 0.81, "T4": 0.71, "T5": 0.69, "T6": 0.68, "T7": 0.66,
    "T8": 0.67, "T9": 0.66, "T10": 0.66, "T11": 0.71, "T12": 0.73, "T13": 0.73, "L1": 0.77, "L2": 0.78,
    "L3": 0.82, "L4": 0.91, "L5": 1.08, "L6": 1.08,
}  # fmt: skip
# Nash and Moe tell symmetric from asymmetric by eye; 5 degrees is where grade 1 is put (5 to 15 degrees).
SYMMETRIC_DEG = 5.0


@dataclass(frozen=True, eq=False)
class PediclePlaces:
    """Where both pedicles of every vertebra lie, (left, right), in half body widths from its middle; NaN where not seen."""

    levels: tuple[str, ...]
    places: Float[Tensor, "l 2"]

    def __post_init__(self) -> None:
        if tuple(self.places.shape) != (len(self.levels), 2):
            raise ValueError(f"places has shape {tuple(self.places.shape)}; wanted {(len(self.levels), 2)}")
        for level in self.levels:
            level_index(level)


def pedicle_places(
    corners: Corners,
    pedicles_px: Float[Tensor, "l 2 2"],
    *,
    left_is_low_u: bool | None = None,
    u_magnification: float | None = None,
) -> PediclePlaces:
    """Places of the pedicles of a frontal picture.

    Args:
        corners: the bodies; of a body without all four corners nothing is known.
        pedicles_px: centres (v, u) of the pedicles of the same levels, patient's left before right; NaN where not seen.
        left_is_low_u, u_magnification: as in `points_in_plane`.

    Raises:
        ValueError: what `points_in_plane` raises, for a shape that does not fit.
    """
    if tuple(pedicles_px.shape) != (len(corners.levels), 2, 2):
        raise ValueError(f"pedicles_px has shape {tuple(pedicles_px.shape)}; wanted {(len(corners.levels), 2, 2)}")
    both = torch.cat([corners.corners_px.double(), pedicles_px.double()], dim=1)
    points = points_in_plane(corners, both, "coronal", left_is_low_u=left_is_low_u, u_magnification=u_magnification)
    body, pedicles = points[:, :4], points[:, 4:]
    half = (body[:, 1] + body[:, 3] - body[:, 0] - body[:, 2]) / 4
    half = half * torch.where(half[:, :1] < 0, -1.0, 1.0)  # towards the patient's left
    off = pedicles - body.mean(dim=1, keepdim=True)
    return PediclePlaces(corners.levels, (off * half[:, None]).sum(-1) / half.square().sum(-1, keepdim=True))


def stokes_rotation_deg(
    pedicles: PediclePlaces, *, half_width_over_depth: Float[Tensor, "l"] | None = None
) -> Float[Tensor, "l"]:
    """Axial rotation of every vertebra, degrees, body towards patient left positive as `rotation_deg`; NaN unless both are seen.

    tan(theta) = (w / 2d) (a - b) / (a + b), a the right and b the left pedicle's distance from the body's middle (Stokes,
    Bigalow and Moreland 1986, Spine 11:213). It follows from pedicles at (+-w/2, d) behind the middle turned by theta, in a
    parallel beam. Against stereo radiographs its SD was 2.4 to 3.6 degrees.

    Args:
        half_width_over_depth: w / 2d of this patient's levels; PEDICLE_RATIO's adult means without it. An error of 10 % in
            it is one of 10 % in the tangent. Concave pedicles of scoliosis are thinner, which shifts their centres.
    """
    ratio = half_width_over_depth
    if ratio is None:
        ratio = torch.tensor([PEDICLE_RATIO.get(level, math.nan) for level in pedicles.levels])
    left, right = pedicles.places.double().unbind(1)
    return torch.rad2deg(torch.atan(ratio.double() * (-right - left) / (left - right)))


def nash_moe_grade(pedicles: PediclePlaces, side: Side | Sequence[Side]) -> tuple[int | None, ...]:
    """Grade 0 to 4 of every vertebra by its convex pedicle (Nash and Moe 1969, J Bone Joint Surg Am 51:223); None unseen.

    The convex half of the body is cut in thirds from its edge to the midline: 1 in the outer third but not symmetric, 2 in
    the middle third, 3 in the inner third, 4 past the midline. 0 is symmetric: Stokes's angle below 5 degrees, or turned the
    other way. Where the concave pedicle is not seen, as in the higher grades, the outer third is 1.
    The grade is coarse, against CT it correlated by 0.49 only (Amaral 2009): read the angle where both pedicles are seen.

    Args:
        side: the convex side of the curve, one for all or one a level.
    """
    sides = [side] * len(pedicles.levels) if isinstance(side, str) else list(side)
    if len(sides) != len(pedicles.levels):
        raise ValueError(f"got {len(sides)} sides for {len(pedicles.levels)} levels; wanted one, or one a level")
    turned = stokes_rotation_deg(pedicles).tolist()
    rows = zip(pedicles.places.tolist(), turned, sides, strict=True)
    return tuple(
        _grade(pair[0] if s == "left" else -pair[1], angle if s == "left" else -angle) for pair, angle, s in rows
    )


def _grade(convex_place: float, turned_deg: float) -> int | None:
    """Grade from the convex pedicle's distance out of the midline, in half widths, and the turn towards the convexity."""
    if not math.isfinite(convex_place):
        return None
    if convex_place < 0:
        return 4
    third = 3 - math.floor(3 * min(convex_place, 0.999))
    return 0 if third == 1 and turned_deg < SYMMETRIC_DEG else third
