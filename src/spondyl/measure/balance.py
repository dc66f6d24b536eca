"""Balance: coronal balance and apical translation from behind, SVA and T1 pelvic angle from the side.

Plumb lines are the world's or the picture's vertical. A level that was not seen is an error by name; nothing stands in
for C7 unless the caller names it.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.cobb import region
from spondyl.measure.pelvis import SagittalPelvis
from spondyl.measure.plane import points_in_plane
from spondyl.measure.sagittal import Facing
from spondyl.measure.tilt import TiltProfile
from spondyl.spine import Cobb, Corners, SpineCurve

# A C7 plumb line further from the CSVL than this is decompensated, mm (Spinal Deformity Study Group, O'Brien 2004).
DECOMPENSATED_MM = 20.0


def coronal_balance_mm(profile: TiltProfile, *, mm_per_unit: float, top: str = "C7") -> float:
    """C7 plumb line to central sacral vertical line, mm; positive where C7 lies to the patient's right (SRS).

    Args:
        profile: `tilts_of_spine` (1 mm a unit) or `tilts_of_corners`, with `top` and S1.
        mm_per_unit: millimetres in the patient over the profile's unit. Of corners: source-spine over source-detector for a
            cone view, 1 for slot and parallel, the pixel at the patient where the corners know no view.
        top: another level in C7's place, as a film that ends at T1 wants it; say so beside the number.

    Raises:
        ValueError: for a level that was not seen, or a scale that is not positive.
    """
    return -(_left(profile, top) - _sacral_left(profile)) * _checked(mm_per_unit)


def apical_translation_mm(profile: TiltProfile, cobb: Cobb, *, mm_per_unit: float, top: str = "C7") -> float:
    """AVT: a curve's apex to the C7 plumb line (thoracic) or the CSVL (thoracolumbar, lumbar), mm; to the right positive.

    The place of a vertebra is midway between its endplates' middles, that of a disc midway between those around it (SRS
    Terminology Committee, O'Brien 2004). Arguments and errors as `coronal_balance_mm`.
    """
    places = [_left(profile, level) for level in cobb.apex.split("/")]
    line = _sacral_left(profile) if region(cobb) in ("TL", "L") else _left(profile, top)
    return -(sum(places) / len(places) - line) * _checked(mm_per_unit)


def centroid_of_spine(spine: SpineCurve, level: str) -> Float[Tensor, "2"]:
    """Middle of a body as (forward, cranial), mm. Raises ValueError where the level is not in the spine."""
    middle = spine.endplates_mm[spine.index(level), :, 0].double().mean(dim=0)
    return torch.stack([-middle[1], middle[2]])


def centroid_of_corners(
    corners: Corners, level: str, *, faces: Facing | None = None, u_magnification: float | None = None
) -> Float[Tensor, "2"]:
    """Mean of a body's four corners in a lateral picture, as `points_in_plane`.

    Raises:
        ValueError: where not all four were seen, and what `points_in_plane` raises.
    """
    if level not in corners.levels:
        raise ValueError(
            f"{level} is not among the corners ({' '.join(corners.levels)}); mark it, or name another level"
        )
    middle = corners.corners_px[corners.levels.index(level)].double().mean(dim=0)
    if not bool(torch.isfinite(middle).all()):
        raise ValueError(f"a corner of {level} was not seen; its middle wants all four")
    return points_in_plane(corners, middle, "sagittal", faces=faces, u_magnification=u_magnification)


def sagittal_vertical_axis_mm(
    c7: Float[Tensor, "2"], sacral_endplate: Float[Tensor, "2 2"], *, mm_per_unit: float
) -> float:
    """SVA: C7's plumb line to the posterior-superior corner of S1, mm; positive where C7 lies in front.

    Args:
        c7: its middle, (forward, cranial): `centroid_of_spine`, `centroid_of_corners`.
        sacral_endplate: front and back end: `sacral_endplate_of_spine`, `sacral_endplate_of_corners`.
        mm_per_unit: as in `coronal_balance_mm`.
    """
    return float(c7[0] - sacral_endplate[1, 0]) * _checked(mm_per_unit)


def spinopelvic_inclination_deg(t1: Float[Tensor, "2"], pelvis: SagittalPelvis) -> float:
    """T1SPI: from the vertical through the hip axis to the line to T1's middle, degrees; positive where T1 lies in front."""
    forward, up = (t1.double() - pelvis.hip_axis.double()).tolist()
    return math.degrees(math.atan2(forward, up))


def t1_pelvic_angle_deg(t1: Float[Tensor, "2"], pelvis: SagittalPelvis) -> float:
    """T1PA: between the lines from the hip axis to T1's middle and to S1's middle, degrees; positive where T1 lies in front.

    Equal to T1SPI + PT (Protopsaltis 2014, J Bone Joint Surg Am 96:1631). It needs no scale and no vertical.
    """
    t_forward, t_up = (t1.double() - pelvis.hip_axis.double()).tolist()
    s_forward, s_up = (pelvis.s1_middle.double() - pelvis.hip_axis.double()).tolist()
    return math.degrees(math.atan2(t_forward * s_up - t_up * s_forward, t_forward * s_forward + t_up * s_up))


def _left(profile: TiltProfile, level: str) -> float:
    """Place of a body's middle towards the patient's left."""
    if level not in profile.levels:
        raise ValueError(f"{level} is not among the levels seen ({' '.join(profile.levels)}); nothing stands in for it")
    place = float(profile.midpoints[profile.levels.index(level), :, 0].double().mean())
    if not math.isfinite(place):
        raise ValueError(f"an endplate of {level} was not seen; its middle wants both")
    return place


def _sacral_left(profile: TiltProfile) -> float:
    if "S1" not in profile.levels or not math.isfinite(float(profile.midpoints[profile.levels.index("S1"), 0, 0])):
        raise ValueError("S1's endplate was not seen; the central sacral vertical line stands on its middle")
    return float(profile.midpoints[profile.levels.index("S1"), 0, 0])


def _checked(mm_per_unit: float) -> float:
    if not (math.isfinite(mm_per_unit) and mm_per_unit > 0):
        raise ValueError(f"mm_per_unit is {mm_per_unit}; wanted millimetres in the patient over the unit of the points")
    return mm_per_unit
