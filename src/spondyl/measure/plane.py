"""Points of a picture in the patient's plane: (left, cranial) from the front or back, (forward, cranial) from the side."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.sagittal import Facing, faces_right
from spondyl.measure.tilt import sees_left_at_low_u
from spondyl.spine import Corners

Plane = Literal["coronal", "sagittal"]


def points_in_plane(
    corners: Corners,
    points_px: Float[Tensor, "*n 2"],
    plane: Plane,
    *,
    left_is_low_u: bool | None = None,
    faces: Facing | None = None,
    u_magnification: float | None = None,
) -> Float[Tensor, "*n 2"]:
    """Pixel positions (v, u) of the picture that the corners belong to, as (left or forward, cranial).

    Millimetres on the detector where the corners know their view (of a slot view millimetres in the patient), else pixels.

    Args:
        left_is_low_u, faces: where the corners know no view: the patient's left at low columns, the side he looks to.
        u_magnification: of a slot view, source-detector over source-spine distance.

    Raises:
        ValueError: for a view from the wrong side, for neither view nor side, for a slot view without magnification.
    """
    if plane == "coronal":
        low_is_left = sees_left_at_low_u(corners, left_is_low_u)
        sign = -1.0 if low_is_left else 1.0
    else:
        sign = 1.0 if faces_right(corners, faces) else -1.0
    dv, du = (1.0, 1.0) if corners.view is None else corners.view.pixel_spacing_mm
    if corners.view is not None and corners.view.beam == "slot":
        if u_magnification is None or not u_magnification > 0:
            raise ValueError(
                f"u_magnification is {u_magnification}; a slot view wants source-detector over source-spine distance"
            )
        du = du / u_magnification
    return torch.stack([sign * points_px[..., 1] * du, -points_px[..., 0] * dv], dim=-1)
