"""What a system is asked, and what is true there: an image, a patient, and the corners, marks or image that are right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from spondyl.geometry import View
from spondyl.measure.aasce import AasceAngles
from spondyl.pairs import Image
from spondyl.spine import Cobb, Corners, UltrasoundMarks

Plane = Literal["coronal", "sagittal"]


@dataclass(frozen=True, eq=False)
class SpineTruth:
    """The corners that are right in a radiograph, and what is needed to measure in it.

    Args:
        corners: with the view of the picture; NaN where a corner lies outside of it.
        plane: what the picture shows.
        u_magnification: source-detector over source-spine distance; for a slot view.
        mm_per_px: (v, u) at the spine, or None where the size of a pixel is not known.
        rows_px: rows of the picture.
        aasce: angles that a label file of the challenge gives, or None.
        largest_in_space_deg: the largest Cobb angle of the spine in space, by the normals of its endplates; None where only
            the picture is known. A film shows less of it where vertebrae are turned about their axis and lean forward.
    """

    corners: Corners
    plane: Plane
    rows_px: int
    u_magnification: float | None = None
    mm_per_px: tuple[float, float] | None = None
    aasce: AasceAngles | None = None
    largest_in_space_deg: float | None = None


@dataclass(frozen=True, eq=False)
class MarksTruth:
    """The arches that are right in an ultrasound image, and the curves whose angles are asked for.

    Args:
        curves: end vertebrae and sides, as `measure.cobb_from_spine` finds them; the angles themselves are not used.
        mm_per_px: (v, u).
    """

    marks: UltrasoundMarks
    curves: tuple[Cobb, ...]
    mm_per_px: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ImageTruth:
    """The image that is right; read when it is asked for."""

    load: Callable[[], Image]
    view: View | None = None


Truth = SpineTruth | MarksTruth | ImageTruth


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """One question to a system.

    Args:
        id: unlike those of the other cases.
        patient: cases of one patient are never taken as independent.
        load: reads the image that the system sees.
        truth: what is right.
    """

    id: str
    patient: str
    load: Callable[[], Image]
    truth: Truth

    @property
    def kind(self) -> str:
        """What is asked: inputs are shuffled among cases of one kind only."""
        return self.truth.plane if isinstance(self.truth, SpineTruth) else type(self.truth).__name__
