"""The ultrasound curve angle (UCA) of a coronal volume-projection image, from the echoes of its vertebral arches.

A reader draws a line through both transverse processes of a thoracic vertebra and through both laminae of a lumbar one, and
measures between the most tilted lines above and below the apex (Lee 2021). Tilt is positive where the patient's right end is
the higher one.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.spine import Cobb, Side


def arch_lines(
    levels: Sequence[str], transverse: Float[Tensor, "l 2 d"], laminae: Float[Tensor, "l 2 d"]
) -> Float[Tensor, "l 2 d"]:
    """The line that each level is read by, in the unit and frame of the points; pairs are (patient's left, right)."""
    lumbar = torch.tensor([level.startswith("L") for level in levels], device=transverse.device)
    return torch.where(lumbar[:, None, None], laminae, transverse)


def line_tilts_deg(lines_px: Float[Tensor, "l 2 2"], spacing_mm: tuple[float, float]) -> Float[Tensor, "l"]:
    """Tilt of each line of an image seen from behind: rows grow downwards, columns to the patient's right."""
    dv, du = spacing_mm
    left, right = lines_px.double().unbind(1)
    return torch.atan2((left[:, 0] - right[:, 0]) * dv, (right[:, 1] - left[:, 1]) * du).rad2deg()


def uca(levels: Sequence[str], tilts_deg: Float[Tensor, "l"], *, upper: str, lower: str, side: Side) -> Cobb:
    """The ultrasound curve angle of a curve whose end vertebrae and convex side are known; one level beyond counts too.

    Args:
        levels: cranial to caudal, with a tilt each.
        upper, lower: end vertebrae, as of a Cobb angle.

    Returns:
        The angle with the levels that carry its lines; the apex is the level half-way between.

    Raises:
        ValueError: for an end vertebra that has no tilt, or a tilt among them that is not finite.
    """
    for level in (upper, lower):
        if level not in levels:
            raise ValueError(f"no echo of {level}; the image shows {levels[0]} to {levels[-1]}")
    first = max(levels.index(upper) - 1, 0)
    rows = range(first, min(levels.index(lower) + 2, len(levels)))
    signed = tilts_deg[list(rows)].double() * (1.0 if side == "right" else -1.0)
    if not bool(torch.isfinite(signed).all()):
        raise ValueError(f"a level from {upper} to {lower} has no tilt; mark both of its echoes")
    middle = len(signed) // 2
    high, low = int(signed[: middle + 1].argmax()), middle + int(signed[middle:].argmin())
    named = [levels[row] for row in rows]
    return Cobb(float(signed[high] - signed[low]), named[high], named[low], named[(high + low) // 2], side)
