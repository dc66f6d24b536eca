"""Angle intervals from the spread of corners: how far a reading may lie from the truth, and conformal calibration of that.

With fixed end vertebrae an angle is a difference of two tilts and its spread has a closed form. With free ends it is a
difference of a largest and a smallest tilt, so noise makes it larger on average: the excess is estimated by shaking the
corners once more, taken off the middle of the interval, and stated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from spondyl.measure.rater import REACH
from spondyl.measure.sagittal import Facing, faces_right
from spondyl.measure.tilt import sees_left_at_low_u, upright_mm
from spondyl.spine import Cobb, Corners, Sagittal

DRAWS = 500  # the SD of an angle is then known to 3 %


@dataclass(frozen=True)
class AngleSpread:
    """What corner noise does to one reading.

    Args:
        angle_deg: as read.
        bias_deg: by how much such readings exceed the truth on average; 0 with fixed ends.
        sd_deg: SD of such readings.
    """

    angle_deg: float
    bias_deg: float
    sd_deg: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.angle_deg) and math.isfinite(self.bias_deg) and self.sd_deg > 0):
            raise ValueError(f"{self} holds no spread; wanted finite numbers and a positive sd_deg")

    @property
    def middle_deg(self) -> float:
        """The reading without its bias."""
        return self.angle_deg - self.bias_deg


@dataclass(frozen=True)
class Calibration:
    """How many SDs an interval reaches to both sides so that it covers `confidence` of new patients' angles.

    `patients` is how many it was fitted on, 0 for a normal quantile that nobody has checked.
    """

    confidence: float
    factor: float
    patients: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; wanted a share between 0 and 1, such as 0.9")
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise ValueError(f"factor is {self.factor}; wanted a positive number of SDs")

    @classmethod
    def nominal(cls, confidence: float = 0.9) -> "Calibration":
        """The normal quantile: right where the stated spreads are right."""
        z = torch.special.ndtri(torch.tensor((1 + confidence) / 2, dtype=torch.float64))
        return cls(confidence, float(z))

    def interval_deg(self, spread: AngleSpread, *, least_deg: float = 0.0) -> tuple[float, float]:
        """Low and high end, degrees. A Cobb angle is not below `least_deg` 0; give -180 for a sagittal angle."""
        half = self.factor * spread.sd_deg
        return max(spread.middle_deg - half, least_deg), max(spread.middle_deg + half, least_deg)


def tilt_sd_deg(
    corners: Corners, spread_px: Float[Tensor, "l 4 2"], *, u_magnification: float | None = None
) -> Float[Tensor, "l 2"]:
    """SD of both endplates' tilts, first order: sqrt(sum over both corners of (sin t s_u)^2 + (cos t s_v)^2) / chord.

    Args:
        spread_px: SD of every corner along (v, u), pixels; errors of different corners are independent.
    """
    chord, ends = _chords(corners, spread_px, u_magnification)
    square = chord.square().sum(-1)
    across = chord[..., None, [1, 0]] * ends  # ends are SDs along (u, up): only what lies across the chord turns it
    return torch.rad2deg(across.square().sum((-1, -2)).sqrt() / square)


def cobb_spread(
    corners: Corners,
    spread_px: Float[Tensor, "l 4 2"],
    cobb: Cobb,
    *,
    generator: torch.Generator,
    free: bool = True,
    left_is_low_u: bool | None = None,
    u_magnification: float | None = None,
    draws: int = DRAWS,
) -> AngleSpread:
    """The spread of one Cobb angle of a coronal picture.

    Args:
        cobb: the curve, read from these corners.
        free: the end vertebrae were chosen on this picture, as the most tilted ones. Then every draw chooses again, up to
            two levels beyond the ends; the mean excess of draws over the reading estimates the bias of the reading.
            Fixed ends (`cobb_between`) have the closed form and draw nothing.

    Raises:
        ValueError: what `sees_left_at_low_u` and `upright_mm` raise; an end vertebra that the corners lack.
    """
    for level in (cobb.upper, cobb.lower):
        if level not in corners.levels:
            raise ValueError(
                f"{level} is not among the corners ({' '.join(corners.levels)}); give the picture it was read on"
            )
    first, last = corners.levels.index(cobb.upper), corners.levels.index(cobb.lower)
    if not free:
        sd = tilt_sd_deg(corners, spread_px, u_magnification=u_magnification)
        return AngleSpread(cobb.angle_deg, 0.0, float(torch.hypot(sd[first, 0], sd[last, 1])))
    chord, ends = _chords(corners, spread_px, u_magnification)
    sign = 1.0 if sees_left_at_low_u(corners, left_is_low_u) else -1.0
    way = sign if cobb.side == "right" else -sign
    noise = torch.randn(draws, *ends.shape, generator=generator, device=generator.device).to(ends)
    shaken = chord + (ends * noise).diff(dim=-2)[..., 0, :]
    tilts = torch.cat([_tilts_deg(chord)[None], _tilts_deg(shaken)])
    angles = _widest(way * tilts, first, last)
    return AngleSpread(cobb.angle_deg, float((angles[1:] - angles[0]).mean()), float(angles[1:].std()))


def sagittal_spread(
    corners: Corners,
    spread_px: Float[Tensor, "l 4 2"],
    angle: Sagittal,
    *,
    faces: Facing | None = None,
    u_magnification: float | None = None,
) -> AngleSpread:
    """The spread of a kyphosis or lordosis of a lateral picture: its levels are named, so its ends are fixed.

    Raises:
        ValueError: what `faces_right` and `upright_mm` raise; an endplate that the corners lack.
    """
    faces_right(corners, faces)
    sd = tilt_sd_deg(corners, spread_px, u_magnification=u_magnification)
    parts = []
    for name in (angle.upper, angle.lower):
        level, _, end = name.partition(" ")
        if level not in corners.levels:
            raise ValueError(
                f"{level} is not among the corners ({' '.join(corners.levels)}); give the picture it was read on"
            )
        parts.append(sd[corners.levels.index(level), 0 if end == "superior" else 1])
    return AngleSpread(angle.kyphosis_deg, 0.0, float(torch.hypot(parts[0], parts[1])))


def calibrate(
    spreads: Sequence[AngleSpread],
    truth_deg: Float[Tensor, "n"],
    patients: Integer[Tensor, "n"],
    *,
    confidence: float = 0.9,
) -> Calibration:
    """Split conformal prediction with the score |truth - middle| / SD, patients as the unit.

    Every patient weighs the same however many curves he has: with K patients, the score of one of N curves has weight
    1 / ((K + 1) N), and 1 / (K + 1) lies at infinity (Lee, Barber and Willett, Distribution-free inference with
    hierarchical data, arXiv 2306.06342; one curve a patient gives Vovk's and Papadopoulos's split conformal prediction).
    A random curve of a new patient like these is then covered with at least `confidence`, whatever the noise.

    Raises:
        ValueError: for lengths that differ, a truth that is not finite, or too few patients for the confidence.
    """
    if not len(spreads) == len(truth_deg) == len(patients) > 0:
        raise ValueError(
            f"got {len(spreads)} spreads, {len(truth_deg)} truths, {len(patients)} patients; wanted as many of each"
        )
    if not bool(torch.isfinite(truth_deg).all()):
        raise ValueError("truth_deg holds NaN or infinite numbers; leave out curves without a truth")
    _, who, count = torch.unique(patients, return_inverse=True, return_counts=True)
    k = len(count)
    if confidence > k / (k + 1):
        need = math.ceil(confidence / (1 - confidence))
        raise ValueError(f"{k} patients cannot carry {100 * confidence:g} % intervals; wanted at least {need}")
    middle = torch.tensor([s.middle_deg for s in spreads], dtype=torch.float64)
    sd = torch.tensor([s.sd_deg for s in spreads], dtype=torch.float64)
    score, order = ((truth_deg.double().cpu() - middle).abs() / sd).sort()
    weight = (1.0 / ((k + 1) * count[who].double()))[order].cumsum(0)
    # a cumulated weight that misses the confidence by rounding alone has reached it
    return Calibration(confidence, float(score[int((weight < confidence - 1e-9).sum())]), k)


def covered(intervals_deg: Sequence[tuple[float, float]], truth_deg: Float[Tensor, "n"]) -> Bool[Tensor, "n"]:
    """Whether each interval holds its truth, ends included. Its share, with an interval over patients: `metrics.share`."""
    low, high = torch.tensor(list(intervals_deg), dtype=torch.float64).reshape(-1, 2).unbind(1)
    truth = truth_deg.double().cpu()
    return (low <= truth) & (truth <= high)


def _chords(
    corners: Corners, spread_px: Float[Tensor, "l 4 2"], u_magnification: float | None
) -> tuple[Float[Tensor, "l 2 2"], Float[Tensor, "l 2 2 2"]]:
    """Chords from the low-u to the high-u end and SDs of their ends, both (along u, upwards) in one unit, float64."""
    if spread_px.shape != corners.corners_px.shape:
        raise ValueError(f"spread_px has shape {tuple(spread_px.shape)}; wanted {tuple(corners.corners_px.shape)}")
    ends = upright_mm(corners, u_magnification).double()
    unit = upright_mm(Corners(corners.levels, spread_px, corners.confidence, corners.view), u_magnification).double()
    return ends[:, :, 1] - ends[:, :, 0], unit.abs()


def _tilts_deg(chord: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    return torch.rad2deg(torch.atan2(chord[..., 1], chord[..., 0]))


def _widest(tilts: Float[Tensor, "n l 2"], first: int, last: int) -> Float[Tensor, "n"]:
    """Largest superior tilt around the upper end less the smallest inferior one around the lower end."""
    middle = (first + last) // 2
    above = torch.nan_to_num(tilts[:, max(first - REACH, 0) : middle + 1, 0], nan=-math.inf).amax(dim=1)
    below = torch.nan_to_num(tilts[:, middle : last + REACH + 1, 1], nan=math.inf).amin(dim=1)
    return above - below
