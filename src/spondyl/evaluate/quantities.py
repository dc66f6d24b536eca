"""What is measured of an answer: the names, titles and units of all quantities, and one reading of one case."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["angle", "level", "score"]


@dataclass(frozen=True)
class Quantity:
    """One row group of the table.

    Args:
        name: as in results.csv.
        title: for people.
        unit: "°", "levels", "mm", "%", "dB" or "".
        kind: an angle or a level is held against its truth; a score is the number itself.
        better: for a score, whether a small or a large one is good.
        signed: whether an angle has a sign; severity classes are made of unsigned ones alone.
    """

    name: str
    title: str
    unit: str
    kind: Kind
    better: Literal["low", "high"] = "low"
    signed: bool = False


@dataclass(frozen=True)
class Reading:
    """One number of one answer.

    Args:
        quantity: a name of QUANTITIES.
        item: which of several in one case ("T5-T11"); "" where there is one.
        truth: what is right; None for a score.
        value: None where the system gave nothing to read it from: a failure.
    """

    quantity: str
    item: str
    truth: float | None
    value: float | None

    @property
    def key(self) -> tuple[str, str]:
        """Quantity and item."""
        return (self.quantity, self.item)

    @property
    def error(self) -> float | None:
        """Value minus truth, or the score; None for a failure."""
        return None if self.value is None else self.value - (0.0 if self.truth is None else self.truth)


# In the order of the page. The first one that a set of cases has is what its cases are sorted by.
QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        Quantity("aasce_main", "AASCE main angle", "°", "angle"),
        Quantity("aasce_upper", "AASCE upper angle", "°", "angle"),
        Quantity("aasce_lower", "AASCE lower angle", "°", "angle"),
        Quantity("smape", "SMAPE of the three AASCE angles", "%", "score"),
        Quantity("cmae", "CMAE of the three AASCE angles", "°", "score"),
        Quantity("main_cobb", "Main Cobb angle", "°", "angle"),
        Quantity("main_cobb_space", "Main Cobb angle, against the spine in space", "°", "angle"),
        Quantity("curve_cobb", "Cobb angle between the true end vertebrae", "°", "angle", signed=True),
        Quantity("uca", "Ultrasound curve angle of the true curves", "°", "angle", signed=True),
        Quantity("kyphosis", "Kyphosis T4 to T12", "°", "angle", signed=True),
        Quantity("lordosis", "Lordosis L1 to S1", "°", "angle", signed=True),
        Quantity("sacral_slope", "Sacral slope", "°", "angle", signed=True),
        Quantity("upper_end", "Upper end vertebra", "levels", "level"),
        Quantity("lower_end", "Lower end vertebra", "levels", "level"),
        Quantity("found", "Vertebrae found", "%", "score", better="high"),
        Quantity("named", "Found vertebrae with the right name", "%", "score", better="high"),
        Quantity("corner_share", "Corner error, of an endplate's width", "%", "score"),
        Quantity("corner_mm", "Corner error", "mm", "score"),
        Quantity("mark_mm", "Error of arch landmarks", "mm", "score"),
        Quantity("psnr_body", "PSNR in the body", "dB", "score", better="high"),
        Quantity("psnr", "PSNR of the frame", "dB", "score", better="high"),
        Quantity("ssim_body", "SSIM in the body", "", "score", better="high"),
        Quantity("ssim", "SSIM of the frame", "", "score", better="high"),
        Quantity("ms_ssim", "MS-SSIM of the frame", "", "score", better="high"),
    )
}
