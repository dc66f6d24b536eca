"""The anatomy tables, read once from anatomy.toml, and the vertebrae of one body at its own size."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np

from spondyl.spine import level_index

Sex = Literal["female", "male"]
DEFAULT_LEVELS: tuple[str, ...] = ("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)), "S1")


@dataclass(frozen=True)
class LevelSize:
    """One vertebra's measures, mm and degrees; names as in anatomy.toml. `segment` is the sagittal angle below it."""

    level: str
    epwu: float
    epdu: float
    epwl: float
    epdl: float
    vbhp: float
    vbha: float
    disc: float
    pw: float
    ph: float
    pta: float
    scw: float
    scd: float
    tpw: float
    spl: float
    spi: float
    segment: float

    @property
    def height(self) -> float:
        """Height in the middle of the body, mm."""
        return (self.vbhp + self.vbha) / 2

    @property
    def sagittal_wedge_deg(self) -> float:
        """Angle between its endplates, kyphosis positive."""
        return math.degrees(2 * math.atan2(self.vbhp - self.vbha, self.epdu + self.epdl))

    @property
    def lumbar(self) -> bool:
        """Whether it is a lumbar vertebra."""
        return self.level.startswith("L")


@dataclass(frozen=True)
class Body:
    """Who the patient is, without the posture: levels, their sizes, and the trunk around them.

    Args:
        sex: "female" or "male".
        age_years: years, 4 to 99; growth ends at 18.
        size: length of this spine over the norm of sex and age.
        bmi: body mass index, kg/m2; it sets the thickness of the fat.
        sizes: one row a level, cranial to caudal, the last one S1.
        trunk: scale of widths and depths of the trunk against anatomy.toml (a girl of 14).
    """

    sex: Sex
    age_years: float
    size: float
    bmi: float
    sizes: tuple[LevelSize, ...]
    trunk: float = 1.0

    def __post_init__(self) -> None:
        if self.sex not in ("female", "male"):
            raise ValueError(f"sex is {self.sex!r}; wanted 'female' or 'male'")
        if not 4 <= self.age_years <= 99:
            raise ValueError(f"age_years is {self.age_years}; wanted 4 to 99")
        if not 0.7 <= self.size <= 1.3:
            raise ValueError(f"size is {self.size}; wanted 0.7 to 1.3 (1 is the norm of sex and age)")
        if not 12 <= self.bmi <= 50:
            raise ValueError(f"bmi is {self.bmi}; wanted 12 to 50 kg/m2")
        _check_level_order([s.level for s in self.sizes])

    @property
    def levels(self) -> tuple[str, ...]:
        """Level names, cranial to caudal."""
        return tuple(s.level for s in self.sizes)


def make_body(
    *,
    sex: Sex = "female",
    age_years: float = 14.0,
    size: float = 1.0,
    bmi: float = 18.5,
    levels: Sequence[str] = DEFAULT_LEVELS,
) -> Body:
    """A body of average shape for sex, age and size. Other `levels` say T13, L6, four lumbar or eleven thoracic ones."""
    for level in levels:
        level_index(level)
    long = growth(sex, age_years) * size
    wide = long ** number("growth", "width_exponent")
    trunk = wide / growth("female", 14.0) ** number("growth", "width_exponent")
    return Body(sex, age_years, size, bmi, tuple(level_size(level, long, wide) for level in levels), trunk)


def level_size(level: str, long: float, wide: float) -> LevelSize:
    """The table's row of a level, lengths along the spine times `long`, the others times `wide`."""
    table = _table("vertebrae")
    row = dict(zip(_words(table["columns"]), _numbers(table[level]), strict=True))
    scaled = {
        name: value * (long if name in ("vbhp", "vbha", "disc", "ph") else 1.0 if name in _ANGLES else wide)
        for name, value in row.items()
    }
    return LevelSize(level, **{f.name: scaled[f.name] for f in fields(LevelSize) if f.name != "level"})


_ANGLES = ("pta", "spi", "segment")


def growth(sex: Sex, age_years: float) -> float:
    """Length of the spine over that of an adult woman."""
    who = "girls" if sex == "female" else "boys"
    return float(np.interp(age_years, series("growth", f"{who}_age"), series("growth", who)))


def number(table: str, name: str) -> float:
    """One constant of anatomy.toml."""
    value = _table(table)[name]
    if not isinstance(value, int | float):
        raise ValueError(f"{table}.{name} of anatomy.toml is no number")
    return float(value)


def series(table: str, name: str) -> list[float]:
    """A row of constants of anatomy.toml."""
    return _numbers(_table(table)[name])


@dataclass(frozen=True)
class Place:
    """A point beside a vertebra's body: its level, offsets left, back and up, and a radius; mm at the table's size."""

    level: str
    x: float
    y: float
    z: float
    radius: float


def places(table: str, name: str) -> list[Place]:
    """Rows of [level, x, y, z, radius] of anatomy.toml."""
    rows = _table(table)[name]
    if not isinstance(rows, list):
        raise ValueError(f"{table}.{name} of anatomy.toml is no list of places")
    return [Place(str(row[0]), *_numbers(row[1:])) for row in rows]


def names(table: str, name: str) -> list[str]:
    """A row of words of anatomy.toml."""
    return _words(_table(table)[name])


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list):
        raise ValueError("anatomy.toml: wanted a list of numbers")
    return [float(v) for v in value]


def _words(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("anatomy.toml: wanted a list of words")
    return [str(v) for v in value]


@cache
def _tables() -> Mapping[str, Mapping[str, object]]:
    text = files("spondyl.sim.patient").joinpath("anatomy.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _table(name: str) -> Mapping[str, object]:
    return _tables()[name]


def _check_level_order(levels: Sequence[str]) -> None:
    order = [level_index(level) for level in levels]
    if order != sorted(set(order)) or not levels or levels[-1] != "S1":
        raise ValueError(f"levels are {' '.join(levels)}; wanted each once, cranial to caudal, S1 last")
    missing = [level for level in ("C7", "T1", "T4", "T11", "L1", "L4") if level not in levels]
    if missing:
        raise ValueError(f"levels lack {' '.join(missing)}; wanted at least C7, T1 to T11, L1 to L4 and S1")
