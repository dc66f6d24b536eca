"""Which way a radiograph lies: patient letters along its rows and columns, the flip of a PACS, the name of a projection.

Our radiographs are seen from the source, a PA from behind. A radiology workstation shows the patient as if facing the
reader: the patient's right on the reader's left. Laterals stay as acquired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spondyl.geometry import View

# A direction counts as tilted towards a further axis from this cosine on (3 degrees); below it is set-up tolerance.
SMALLEST_COSINE = 0.05
# A film within this angle of a standard direction bears its name.
NAMED_WITHIN_DEG = 10.0
# A beam that climbs more steeply than this cosine (64 degrees) is axial: no side of the patient faces the detector.
AXIAL_COSINE = 0.9


@dataclass(frozen=True)
class Projection:
    """The radiographic name of a view: View Position (0018,5101) and its SNOMED CT code of CID 4010 "DX View"."""

    position: str
    code: str
    meaning: str


# Codes as in PS3.16 CID 4010, all found in pydicom's table of it.
STANDARD: tuple[tuple[float, Projection], ...] = (
    (0.0, Projection("PA", "272479007", "postero-anterior")),
    (90.0, Projection("LL", "399173006", "left lateral")),
    (180.0, Projection("AP", "399348003", "antero-posterior")),
    (270.0, Projection("RL", "399198007", "right lateral")),
)
# By quadrant of the source's azimuth; named after the side of the patient that faces the detector.
OBLIQUE: tuple[Projection, ...] = (
    Projection("LAO", "399135007", "left anterior oblique"),
    Projection("LPO", "399006002", "left posterior oblique"),
    Projection("RPO", "399038007", "right posterior oblique"),
    Projection("RAO", "399356000", "right anterior oblique"),
)
AXIAL = Projection("", "399061009", "axial")


def patient_letters(direction: Sequence[float]) -> str:
    """DICOM letters of a direction in LPS, the strongest first: (0.9, -0.4, 0) is "LA" (PS3.3 C.7.6.1.1.1)."""
    length = math.sqrt(sum(c * c for c in direction))
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"direction is {tuple(direction)}; wanted a finite vector other than zero")
    named = [(abs(c) / length, letters[c < 0]) for c, letters in zip(direction, ("LR", "PA", "HF"), strict=True)]
    kept = sorted((pair for pair in named if pair[0] > SMALLEST_COSINE), key=lambda pair: -pair[0])
    return "".join(letter for _, letter in kept)


def image_orientation(view: View, *, columns_flipped: bool) -> tuple[str, str]:
    """Patient Orientation (0020,0020): letters along growing columns, letters along growing rows."""
    u, v = _axis(view, 0), _axis(view, 1)
    return patient_letters([-c for c in u] if columns_flipped else u), patient_letters(v)


def flips_for_pacs(view: View) -> bool:
    """Whether the columns must be reversed so that the patient's right comes to the reader's left.

    True for views whose columns run more to the patient's right than anywhere else: PA and obliques nearer to it than
    to a lateral. AP lies right already; laterals, and the 45 degrees between, stay as acquired.
    """
    x, y, z = _axis(view, 0)
    return x < 0 and -x > max(abs(y), abs(z)) + 1e-3


def projection(view: View) -> Projection:
    """The name and code of a view, from its beam and not from what anyone calls it."""
    x, y, z = _axis(view, 2)
    if abs(z) > AXIAL_COSINE:
        return AXIAL
    azimuth_deg = math.degrees(math.atan2(x, -y)) % 360
    for standard_deg, named in STANDARD:
        if abs((azimuth_deg - standard_deg + 180) % 360 - 180) <= NAMED_WITHIN_DEG:
            return named
    return OBLIQUE[int(azimuth_deg // 90)]


def _axis(view: View, index: int) -> list[float]:
    if view.batch_shape:
        raise ValueError(f"the view is a batch of {tuple(view.batch_shape)}; write its exposures one by one")
    column: list[float] = view.world_from_detector[:3, index].double().tolist()
    return column
