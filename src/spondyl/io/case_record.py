"""What is known of one case of a cohort: the line of manifest.jsonl, and case.json beside the images.

Keys stay; later versions add keys and raise FORMAT when one changes its meaning. Angles are degrees, lengths mm; there is no
time, no machine and no user in it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast, get_args

from spondyl.io.json_line import Fields, json_bytes, json_object
from spondyl.spine import Side, level_index

FORMAT = 1
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class CurveTruth:
    """One coronal curve of the exact spine.

    Args:
        upper, lower, apex, side, cobb_deg: see `spine.Cobb`.
        rotation_deg: axial rotation of the apical vertebra, positive towards the convexity.
        uca_deg, spa_deg: ultrasound curve angle and spinous process angle of the same curve; None for a scanned person.
    """

    upper: str
    lower: str
    apex: str
    side: Side
    cobb_deg: float
    rotation_deg: float
    uca_deg: float | None = None
    spa_deg: float | None = None


@dataclass(frozen=True)
class Truth:
    """The angles of one spine. None where the spine does not show what an angle needs.

    Args:
        levels: visible levels, cranial to caudal.
        curves: cranial to caudal, from 3 degrees on.
        kyphosis_deg: superior T4 to inferior last thoracic level.
        lordosis_deg: superior L1 to superior S1, positive.
        sacral_slope_deg: positive where S1 leans forward.
        pelvic_tilt_deg, pelvic_incidence_deg: of the design; the spine alone does not hold the hips. PI = PT + SS.
        balance_mm: centre of C7 to the left of the centre of S1; sva_mm: the same forward.
        length_mm: along the centres, from the first to the last visible level.
    """

    levels: tuple[str, ...]
    curves: tuple[CurveTruth, ...]
    kyphosis_deg: float | None
    lordosis_deg: float | None
    sacral_slope_deg: float | None
    pelvic_tilt_deg: float | None
    pelvic_incidence_deg: float | None
    balance_mm: float | None
    sva_mm: float | None
    length_mm: float

    @property
    def largest_cobb_deg(self) -> float:
        """The largest Cobb angle, 0 where there is no curve."""
        return max((curve.cobb_deg for curve in self.curves), default=0.0)


@dataclass(frozen=True)
class Person:
    """Who a virtual patient is. `hardware` names the instrumented levels ("T4-L1"), None without metal."""

    cohort: str
    sex: str
    age_years: float
    size: float
    bmi: float
    curve_type: str
    stance: str
    skin_type: int
    flexibility: float
    braced: bool
    hardware: str | None


@dataclass(frozen=True)
class CaseRecord:
    """One case.

    Args:
        id: its number in the cohort, from 0.
        seed: what all its random numbers come from; a function of the cohort's seed and the id.
        patient: hash of the person; the same person is always in the same split.
        split: by the hash of the patient.
        shape_split: "test" for shapes that are held out (see shape_regions), "train" or "val" for the others.
        shape_regions: the held-out regions of shape in which this spine lies; empty for most.
        truth: the exact angles.
        person: None for a scanned person.
        sensors: modality -> the settings that took it.
        config: SHA-256 of the cohort's plan and version; with the id it says what the case must be.
    """

    id: int
    seed: int
    patient: str
    split: Split
    shape_split: Split
    shape_regions: tuple[str, ...]
    truth: Truth
    person: Person | None
    sensors: Mapping[str, str]
    config: str

    def line(self) -> bytes:
        """The record as one line of JSON."""
        return json_bytes({"format": FORMAT, "synthetic": True, **asdict(self)})


def record_of(content: bytes, name: str) -> CaseRecord:
    """The record of such a line.

    Raises:
        ValueError: where it is damaged or of another format.
    """
    f = Fields(json_object(content, name), name)
    if f.whole("format") != FORMAT:
        raise ValueError(f"{name} is of format {f.whole('format')}; this version reads {FORMAT}")
    sensors = f.inner("sensors")
    return CaseRecord(
        id=f.whole("id"),
        seed=f.whole("seed"),
        patient=f.text("patient"),
        split=_split(f, "split"),
        shape_split=_split(f, "shape_split"),
        shape_regions=f.texts("shape_regions"),
        truth=_truth(f.inner("truth")),
        person=None if f.raw.get("person") is None else _person(f.inner("person")),
        sensors={modality: sensors.text(modality) for modality in sensors.raw},
        config=f.text("config"),
    )


def _split(f: Fields, key: str) -> Split:
    value = f.text(key)
    if value not in SPLITS:
        raise ValueError(f"{f.name}: {key} is {value!r}; wanted one of {', '.join(SPLITS)}")
    return value


def _truth(f: Fields) -> Truth:
    levels = f.texts("levels")
    for level in levels:
        level_index(level)
    return Truth(
        levels,
        tuple(_curve(inner) for inner in f.inners("curves")),
        f.number_or_none("kyphosis_deg"),
        f.number_or_none("lordosis_deg"),
        f.number_or_none("sacral_slope_deg"),
        f.number_or_none("pelvic_tilt_deg"),
        f.number_or_none("pelvic_incidence_deg"),
        f.number_or_none("balance_mm"),
        f.number_or_none("sva_mm"),
        f.number("length_mm"),
    )


def _curve(f: Fields) -> CurveTruth:
    side = f.text("side")
    if side not in get_args(Side):
        raise ValueError(f"{f.name}: side is {side!r}; wanted left or right")
    return CurveTruth(
        f.text("upper"),
        f.text("lower"),
        f.text("apex"),
        cast(Side, side),
        f.number("cobb_deg"),
        f.number("rotation_deg"),
        f.number_or_none("uca_deg"),
        f.number_or_none("spa_deg"),
    )


def _person(f: Fields) -> Person:
    return Person(
        f.text("cohort"),
        f.text("sex"),
        f.number("age_years"),
        f.number("size"),
        f.number("bmi"),
        f.text("curve_type"),
        f.text("stance"),
        f.whole("skin_type"),
        f.number("flexibility"),
        f.flag("braced"),
        f.text_or_none("hardware"),
    )
