"""The spinous process angle (SPA) of a coronal ultrasound image or photograph: from the line of the spinous tips.

The angle between the most tilted tangents of the spinous profile (Zheng 2016, Scoliosis Spinal Disord 11:13). It reads low
against Cobb's: tips turn to the concavity with the vertebra (Cobb = 1.18 SPA in that paper). Tangents here join neighbouring
tips; nothing is smoothed.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Cobb, Side


def tangent_tilts_deg(tips_px: Float[Tensor, "l 2"], spacing_mm: tuple[float, float]) -> Float[Tensor, "l-1"]:
    """Tilt of the profile between neighbouring tips of an image seen from behind, (v, u), cranial to caudal, degrees.

    Against the vertical; positive where the upper tip lies to the patient's left, as an endplate under such a tangent has
    its right end higher. Rows grow downwards, columns to the patient's right.

    Args:
        spacing_mm: of the image, (v, u).
    """
    dv, du = spacing_mm
    step = tips_px.double().diff(dim=0)
    return torch.atan2(step[:, 1] * du, step[:, 0] * dv).rad2deg()


def spa(levels: Sequence[str], tangents_deg: Float[Tensor, "k"], *, upper: str, lower: str, side: Side) -> Cobb:
    """The spinous process angle of a curve whose end vertebrae and convex side are known; one level beyond counts too.

    Args:
        levels: of the tips, cranial to caudal; one more than tangents.
        upper, lower: end vertebrae, as of a Cobb angle.

    Returns:
        The angle; its ends are the upper tip of the upper and the lower tip of the lower steepest tangent, its apex the
        level half-way between.

    Raises:
        ValueError: for numbers that do not fit, an end vertebra without a tip, a tip among them that was not seen.
    """
    if len(levels) != len(tangents_deg) + 1:
        raise ValueError(f"got {len(levels)} tips and {len(tangents_deg)} tangents; wanted one tip more")
    for level in (upper, lower):
        if level not in levels:
            raise ValueError(f"no spinous tip of {level}; the image shows {levels[0]} to {levels[-1]}")
    first, last = max(levels.index(upper) - 1, 0), min(levels.index(lower) + 1, len(tangents_deg))
    if last - first < 2:
        raise ValueError(f"{upper} to {lower} has fewer than two tangents; mark more tips")
    signed = tangents_deg[first:last].double() * (1.0 if side == "right" else -1.0)
    if not bool(torch.isfinite(signed).all()):
        raise ValueError(f"a tip from {upper} to {lower} was not seen; mark all of them")
    middle = len(signed) // 2
    high, low = int(signed[: middle + 1].argmax()), middle + int(signed[middle:].argmin())
    top, bottom = first + high, first + low + 1
    return Cobb(
        max(float(signed[high] - signed[low]), 0.0), levels[top], levels[bottom], levels[(top + bottom) // 2], side
    )
