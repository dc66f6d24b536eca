"""The coronal tilt of every endplate, from cranial to caudal: what a Cobb angle is read from, in space or in a picture."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Corners, SpineCurve, level_index

# A picture shows left and right where the detector's rows run within 60 degrees of the patient's left-right axis.
LEAST_SHARE_OF_AXIS = 0.5


@dataclass(frozen=True, eq=False)
class TiltProfile:
    """Endplates seen from the front or back.

    Args:
        levels: names from LEVELS, cranial to caudal.
        tilts_deg: tilt of the superior and inferior endplate against the horizontal, degrees; positive where the
            patient's right end is the higher one. NaN where the endplate was not seen.
        midpoints: of both endplates, (towards patient left, towards cranial), any one unit of length.
    """

    levels: tuple[str, ...]
    tilts_deg: Float[Tensor, "l 2"]
    midpoints: Float[Tensor, "l 2 2"]

    def __post_init__(self) -> None:
        n = len(self.levels)
        for name, shape in (("tilts_deg", (n, 2)), ("midpoints", (n, 2, 2))):
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} has shape {got}; wanted {shape} for {n} levels")
        order = [level_index(level) for level in self.levels]
        if order != sorted(set(order)):
            raise ValueError(f"levels are {' '.join(self.levels)}; wanted each once, from cranial to caudal")


def tilts_of_spine(spine: SpineCurve) -> TiltProfile:
    """Endplate normals projected onto the world's coronal plane: tilt = atan2(n_left, n_cranial)."""
    normals = spine.endplate_normals()
    tilts = torch.rad2deg(torch.atan2(normals[..., 0], normals[..., 2]))
    centres = spine.endplates_mm[:, :, 0]
    return TiltProfile(spine.levels, tilts, torch.stack([centres[..., 0], centres[..., 2]], dim=-1))


def tilts_of_corners(
    corners: Corners, *, left_is_low_u: bool | None = None, u_magnification: float | None = None
) -> TiltProfile:
    """Chords between the corners of a coronal picture, in its own plane.

    Args:
        left_is_low_u: whether the patient's left lies at low columns (a PA picture as this package stores it). Asked for
            only where the corners know no view; a view knows itself.
        u_magnification: as in `upright_mm`.

    Raises:
        ValueError: for a lateral view, where neither view nor `left_is_low_u` tells the sides apart, for a slot view
            without `u_magnification`.
    """
    low_is_left = sees_left_at_low_u(corners, left_is_low_u)
    ends = upright_mm(corners, u_magnification)
    ends = ends * ends.new_tensor([-1.0 if low_is_left else 1.0, 1.0])
    low_u, high_u = ends.unbind(dim=2)
    step = low_u - high_u if low_is_left else high_u - low_u  # from the right end to the left end
    tilts = torch.rad2deg(torch.atan2(-step[..., 1], step[..., 0]))
    return TiltProfile(corners.levels, tilts, ends.mean(dim=2))


def upright_mm(corners: Corners, u_magnification: float | None = None) -> Float[Tensor, "l 2 2 2"]:
    """Corners of each endplate (superior, inferior) x (low-u, high-u) as (along u, upwards) in one unit of length.

    Args:
        u_magnification: source-detector over source-spine distance. A slot beam enlarges columns by it and rows not at
            all, which flattens every tilt, and the view does not know where the patient stood: a slot view asks for it.
            Other beams keep angles and ignore it.

    Raises:
        ValueError: for a slot view without it, or a value that is not positive.
    """
    dv, du = (1.0, 1.0) if corners.view is None else corners.view.pixel_spacing_mm
    if corners.view is not None and corners.view.beam == "slot":
        if u_magnification is None or not u_magnification > 0:
            raise ValueError(
                f"u_magnification is {u_magnification}; a slot view wants source-detector over source-spine distance"
            )
        du = du / u_magnification
    pairs = corners.corners_px.reshape(-1, 2, 2, 2)
    return torch.stack([pairs[..., 1] * du, -pairs[..., 0] * dv], dim=-1)


def sees_left_at_low_u(corners: Corners, said: bool | None) -> bool:
    """Whether a coronal picture shows the patient's left at low columns: by its view, or as said where it knows none.

    Raises:
        ValueError: for a view from the side, or where nobody says.
    """
    if corners.view is None:
        if said is None:
            raise ValueError("the corners know no view; say left_is_low_u=True (seen from behind) or False")
        return said
    towards_left = float(corners.view.world_from_detector[..., 0, 0])
    if math.fabs(towards_left) < LEAST_SHARE_OF_AXIS:
        raise ValueError("the view looks from the side; a coronal angle wants a view from the front or back")
    return towards_left < 0
