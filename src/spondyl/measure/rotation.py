"""Axial vertebral rotation from a spine's axes, each vertebra about its own long axis."""

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Cobb, SpineCurve


def rotation_deg(spine: SpineCurve) -> Float[Tensor, "l"]:
    """Rotation of every vertebra about its own cranial axis, degrees; positive where the body turns to patient left.

    The axes are taken apart as R = R_y(coronal) R_x(sagittal) R_z(axial), rotation first and in the vertebra's own
    frame, so that tilt adds no false rotation: what a CT slice along the vertebra's own endplates would show, not what
    a slice along the table shows.
    """
    left, cranial = spine.axes[:, 0], spine.axes[:, 2]
    coronal = torch.atan2(cranial[:, 0], cranial[:, 2])
    zero = torch.zeros_like(coronal)
    # Left and posterior axis of a vertebra with this cranial axis and no rotation of its own.
    straight = torch.stack([coronal.cos(), zero, -coronal.sin()], dim=-1)
    back = torch.linalg.cross(cranial, straight)
    return torch.rad2deg(torch.atan2((left * back).sum(dim=-1), (left * straight).sum(dim=-1)))


def apical_rotation_deg(spine: SpineCurve, cobb: Cobb) -> float:
    """Rotation of the curve's apex (of the two levels beside an apical disc, their mean), towards the convexity positive.

    Raises:
        ValueError: where the apex is not in this spine.
    """
    turned = rotation_deg(spine)
    rows = [spine.index(level) for level in cobb.apex.split("/")]
    mean = float(turned[rows].mean())
    return mean if cobb.side == "left" else -mean
