"""Film: a radiograph as a file holds it, in display grey, before anything is known about optical depth or geometry."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

SpacingKind = Literal["detector", "patient", "unknown"]
SPACING_KINDS: tuple[SpacingKind, ...] = ("detector", "patient", "unknown")
VIEW_POSITIONS = ("PA", "AP", "LL", "RL")
# Under this many pixels on the shorter side no vertebra can be told from its neighbour: an icon or a thumbnail.
SMALLEST_SIDE_PX = 32


@dataclass(frozen=True, eq=False)
class Film:
    """A two-dimensional radiograph read from a file; what it shows is grey, not optical depth.

    Args:
        grey: 0 black to 1 white, bone bright, rows and columns as stored (never flipped). How 0 and 1 relate to the
            stored numbers stands in `read_radiograph`; they never depend on the image's own minimum or maximum.
        spacing_mm: (v, u) distance of pixel centres, or None where the file says nothing usable.
        spacing_kind: "detector": measured at the detector (or at the sheet of film), so lengths are magnified.
            "patient": corrected to a plane of the patient. "unknown": the file does not say, or the number is a
            printing resolution; angles and ratios may be used, lengths not.
        photometric: DICOM Photometric Interpretation, or the mode of the picture file ("L", "I;16", "RGB").
        view_position: "PA", "AP", "LL" (left side at the detector), "RL", or "" where unknown or oblique.
        patient_orientation: letters (L R A P H F) of the patient direction along growing columns and growing rows;
            ("", "") where unknown.
        bits: stored bits of a pixel.
    """

    grey: Float[Tensor, "h w"]
    spacing_mm: tuple[float, float] | None
    spacing_kind: SpacingKind
    photometric: str
    view_position: str
    patient_orientation: tuple[str, str]
    bits: int

    def __post_init__(self) -> None:
        h, w = self.grey.shape
        if min(h, w) < SMALLEST_SIDE_PX:
            raise ValueError(
                f"the picture is {w} x {h} pixels; wanted a radiograph of at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX}"
            )
        low, high = float(self.grey.min()), float(self.grey.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"grey runs from {low:.3g} to {high:.3g}; wanted values in [0, 1]")
        if self.spacing_mm is not None and not all(math.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise ValueError(f"spacing_mm is {self.spacing_mm}; wanted two positive millimetre values (v, u) or None")
        if self.spacing_kind not in SPACING_KINDS:
            raise ValueError(f"spacing_kind is {self.spacing_kind!r}; wanted one of {', '.join(SPACING_KINDS)}")
        if self.view_position not in (*VIEW_POSITIONS, ""):
            raise ValueError(f"view_position is {self.view_position!r}; wanted {', '.join(VIEW_POSITIONS)} or nothing")
