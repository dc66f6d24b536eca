"""Sacral slope, pelvic tilt and pelvic incidence from S1's endplate and the femoral heads, in the sagittal plane.

Points are (forward, cranial) in any one unit of length. PI = PT + SS holds exactly (Legaye 1998, Eur Spine J 7:99); the
three are computed apart, so that it can be checked.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.plane import points_in_plane
from spondyl.measure.sagittal import Facing
from spondyl.spine import Corners, SpineCurve


@dataclass(frozen=True, eq=False)
class SagittalPelvis:
    """S1's superior endplate and the hip axis, (forward, cranial): its front end, its back end, the middle of both heads."""

    s1_anterior: Float[Tensor, "2"]
    s1_posterior: Float[Tensor, "2"]
    hip_axis: Float[Tensor, "2"]

    def __post_init__(self) -> None:
        for name in ("s1_anterior", "s1_posterior", "hip_axis"):
            if not bool(torch.isfinite(getattr(self, name)).all()):
                raise ValueError(
                    f"{name} was not seen; pelvic angles want both ends of S1's endplate and a femoral head"
                )
        if torch.equal(self.s1_anterior, self.s1_posterior):
            raise ValueError("both ends of S1's endplate are one point; wanted its front and its back end")

    @property
    def s1_middle(self) -> Float[Tensor, "2"]:
        """Middle of S1's endplate."""
        return (self.s1_anterior + self.s1_posterior) / 2


@dataclass(frozen=True)
class PelvicAngles:
    """Degrees. Slope and tilt rest on the vertical of the picture, incidence does not.

    Args:
        sacral_slope_deg: SS, S1's endplate against the horizontal; positive where it faces forward.
        pelvic_tilt_deg: PT, from the vertical to the line from S1's middle to the hip axis; positive where that lies in front.
        pelvic_incidence_deg: PI, between that line and the perpendicular of S1's endplate in its middle.
    """

    sacral_slope_deg: float
    pelvic_tilt_deg: float
    pelvic_incidence_deg: float


def pelvic_angles(pelvis: SagittalPelvis) -> PelvicAngles:
    """SS, PT and PI of one pelvis."""
    forward, up = (pelvis.s1_anterior - pelvis.s1_posterior).tolist()
    to_hip, rise = (pelvis.hip_axis - pelvis.s1_middle).tolist()
    # the perpendicular that points into the sacrum is (up, -forward)
    across, along = up * rise + forward * to_hip, up * to_hip - forward * rise
    return PelvicAngles(
        sacral_slope_deg=math.degrees(math.atan2(-up, forward)),
        pelvic_tilt_deg=math.degrees(math.atan2(to_hip, -rise)),
        pelvic_incidence_deg=math.degrees(math.atan2(across, along)),
    )


def sacral_endplate_of_spine(spine: SpineCurve) -> Float[Tensor, "2 2"]:
    """Front and back end of S1's endplate as (forward, cranial), mm: its extent along its own line in the sagittal plane.

    Raises:
        ValueError: for a spine without S1.
    """
    plate = spine.endplates_mm[spine.index("S1"), 0].double()
    centre, left, back = torch.stack([-plate[:, 1], plate[:, 2]], dim=-1)
    normal = spine.endplate_normals()[spine.index("S1"), 0].double()
    along = torch.nn.functional.normalize(torch.stack([normal[2], normal[1]]), dim=0)  # forward where it lies flat
    half = torch.hypot(left @ along, back @ along)
    return torch.stack([centre + half * along, centre - half * along])


def sacral_endplate_of_corners(
    corners: Corners, *, faces: Facing | None = None, u_magnification: float | None = None
) -> Float[Tensor, "2 2"]:
    """Front and back end of S1's endplate in a lateral picture, as `points_in_plane`.

    Raises:
        ValueError: where S1 was not seen, and what `points_in_plane` raises.
    """
    if "S1" not in corners.levels:
        raise ValueError("S1 is not among the corners; mark both ends of its superior endplate")
    ends = corners.corners_px[corners.levels.index("S1"), :2].double()
    found = points_in_plane(corners, ends, "sagittal", faces=faces, u_magnification=u_magnification)
    return found if bool(found[0, 0] > found[1, 0]) else found.flip(0)


def pelvis_of_spine(spine: SpineCurve, heads_mm: Float[Tensor, "n 3"]) -> SagittalPelvis:
    """The pelvis of a spine with S1 and one or both centres of the femoral heads, world mm.

    Raises:
        ValueError: for a spine without S1, or no head.
    """
    hips = heads_mm[torch.isfinite(heads_mm).all(dim=-1)].double().mean(dim=0)
    front, back = sacral_endplate_of_spine(spine)
    return SagittalPelvis(front, back, torch.stack([-hips[1], hips[2]]))


def pelvis_of_corners(
    corners: Corners,
    heads_px: Float[Tensor, "n 2"],
    *,
    faces: Facing | None = None,
    u_magnification: float | None = None,
) -> SagittalPelvis:
    """The pelvis of a lateral picture with S1 and one or both femoral heads' centres (v, u); NaN for a head not seen.

    A head nearer to the source is larger and shifted; the middle of both is the hip axis (Legaye 1998). One head alone
    stands for it where they overlap.

    Raises:
        ValueError: where S1 or both heads were not seen, and what `points_in_plane` raises.
    """
    seen = heads_px[torch.isfinite(heads_px).all(dim=-1)].double()
    middle = points_in_plane(corners, seen.mean(dim=0), "sagittal", faces=faces, u_magnification=u_magnification)
    front, back = sacral_endplate_of_corners(corners, faces=faces, u_magnification=u_magnification)
    return SagittalPelvis(front, back, middle)
