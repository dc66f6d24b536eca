"""Grey for the eye: the VOI curves of DICOM, and the window that makes a spine visible.

A curve maps numbers to 0 (black) ... 1 (white). Optical depth itself is never changed by display.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
VOI_FUNCTIONS: tuple[VoiFunction, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")

# Below this optical depth a ray met hardly any patient: 0.3 is 1.5 cm of water at 60 keV (mu = 0.0206 / mm, NIST XCOM).
OPEN_FIELD_DEPTH = 0.3
# What the window of a spine film keeps: the lungs at the dark end, the densest half per cent (metal) clipped.
LOW_PERCENTILE, HIGH_PERCENTILE = 2.0, 99.5
# Where an image holds nothing but open field, the range of an adult trunk (10 to 30 cm of water at 60 keV).
FALLBACK_WINDOW = (2.0, 6.0)
# A narrower window would show noise alone.
NARROWEST_WINDOW = 0.5


def voi_curve(
    values: Float[Tensor, "*n"], *, function: VoiFunction, centre: float, width: float
) -> Float[Tensor, "*n"]:
    """Display grey in [0, 1] of modality values through one window (DICOM PS3.3 C.11.2.1.2, C.11.2.1.3).

    Args:
        function: "LINEAR": the ramp whose ends are half a value inside, as the standard defines it for whole numbers.
            "LINEAR_EXACT": (x - centre) / width + 0.5. "SIGMOID": 1 / (1 + exp(-4 (x - centre) / width)).
        width: at least 1 for "LINEAR", more than 0 for the others.

    Raises:
        ValueError: for an unknown function or a width that the function cannot have.
    """
    if function not in VOI_FUNCTIONS:
        raise ValueError(f"VOI function is {function!r}; wanted one of {', '.join(VOI_FUNCTIONS)}")
    if not (width >= 1 if function == "LINEAR" else width > 0):
        raise ValueError(
            f"window width is {width} for {function}; wanted {'1 or more' if function == 'LINEAR' else 'more than 0'}"
        )
    if function == "SIGMOID":
        return torch.sigmoid((values - centre) * (4.0 / width))
    if function == "LINEAR_EXACT":
        return ((values - centre) / width + 0.5).clamp(0, 1)
    if width == 1:  # the ramp has no length left: a step
        return (values > centre - 0.5).to(values.dtype)
    return ((values - (centre - 0.5)) / (width - 1) + 0.5).clamp(0, 1)


def spine_window(optical_depth: Float[Tensor, "h w"]) -> tuple[float, float]:
    """(low, high) optical depth worth showing: from the lungs to dense bone, by percentiles of the covered pixels.

    A hint for the display, as an X-ray machine writes one from its histogram; pixels keep their scale.
    """
    depth = optical_depth.detach().to("cpu", torch.float64).numpy()
    covered = depth[np.isfinite(depth) & (depth > OPEN_FIELD_DEPTH)]
    if covered.size < depth.size / 100:
        return FALLBACK_WINDOW
    low, high = np.percentile(covered, [LOW_PERCENTILE, HIGH_PERCENTILE]).tolist()
    missing = max(0.0, NARROWEST_WINDOW - (high - low)) / 2
    return (low - missing, high + missing)
