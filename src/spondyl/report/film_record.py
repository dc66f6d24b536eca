"""The record of one film that was read: the words of its angles.json, written and read back.

angles.json is one object; keys stay, later versions add some.

    schema, spondyl, disclaimer
    file, kind, sha256   the film: its name, what it is, the hash of its bytes
    weights              hash of the reader's weights and of the calibration of its intervals
    view, claim, asked   "pa" or "lateral" as measured; what the user or the file claimed, and the user alone; "" for nothing
    lateral              the reader's probability that it is a lateral
    verdict, reasons     "accepted", "flagged" or "refused", and why; a refused film has no angles
    levels               found, cranial to caudal; what was not found is not in it
    level_sure           probability that these levels are right; the alternative is one off
    score, total         mean certainty of the vertebrae; evidence of the whole chain
    negative             true where the film was read with black and white exchanged
    sides                "patient" or "picture": whose left and right the curves' sides are
    faces                "left" or "right" of the picture, "" on a PA or where nothing tells
    shape_px, spacing_mm, spacing_kind
    intervals            {confidence, factor, patients}: how far they reach in SDs, and how many patients that was fitted on
    angles               [{name, plane, upper, lower, main, angle_deg, low_deg, high_deg, apex, side}]
    balance_mm, lenke    null and "" where they are not known
    not_measured, notes  sentences
"""

import json
from dataclasses import asdict, dataclass
from typing import Literal, cast

from spondyl import __version__
from spondyl.io.json_line import Fields, json_object
from spondyl.report.record import DISCLAIMER

SCHEMA = 1
FilmView = Literal["pa", "lateral"]
Judgement = Literal["accepted", "flagged", "refused"]
Plane = Literal["coronal", "sagittal"]
FILM_VIEWS: tuple[FilmView, ...] = ("pa", "lateral")
JUDGEMENTS: tuple[Judgement, ...] = ("accepted", "flagged", "refused")


@dataclass(frozen=True)
class FilmAngle:
    """One angle of a film, degrees, with its interval where there is one; `side` as FilmRecord.sides says."""

    name: str
    plane: Plane
    upper: str
    lower: str
    angle_deg: float
    low_deg: float | None = None
    high_deg: float | None = None
    apex: str = ""
    side: str = ""
    main: bool = False

    @property
    def interval(self) -> str:
        """ "38.1 to 45.9", or nothing."""
        return "" if self.low_deg is None or self.high_deg is None else f"{self.low_deg:.1f} to {self.high_deg:.1f}"


@dataclass(frozen=True)
class Intervals:
    """How intervals were made: the share they are to cover, their reach in SDs, and the patients that was fitted on."""

    confidence: float
    factor: float
    patients: int

    @property
    def sentence(self) -> str:
        """What a reader of the report should know."""
        share = f"{100 * self.confidence:g} % intervals"
        if self.patients:
            return f"{share}, calibrated on {self.patients} patients (conformal: {self.factor:.2f} SD of the reader's own spread)."
        return f"{share}, not calibrated: {self.factor:.2f} SD of the reader's own spread, which nobody has checked."


@dataclass(frozen=True)
class FilmRecord:
    """What was found on one film. The page, the table and angles.json are made from it."""

    file: str
    kind: str
    sha256: str
    weights: str
    view: FilmView
    verdict: Judgement
    shape_px: tuple[int, int]
    intervals: Intervals
    claim: str = ""
    asked: str = ""
    lateral: float | None = None
    reasons: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    level_sure: float | None = None
    score: float | None = None
    total: float | None = None
    negative: bool = False
    sides: str = "picture"
    faces: str = ""
    spacing_mm: tuple[float, float] | None = None
    spacing_kind: str = "unknown"
    angles: tuple[FilmAngle, ...] = ()
    balance_mm: float | None = None
    lenke: str = ""
    not_measured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def curves(self) -> tuple[FilmAngle, ...]:
        """The Cobb angles, the largest first."""
        found = [a for a in self.angles if a.plane == "coronal"]
        return tuple(sorted(found, key=lambda a: -a.angle_deg))

    def sagittal(self, name: str) -> FilmAngle | None:
        """The sagittal angle of that name; None where it was not measured."""
        return next((a for a in self.angles if a.plane == "sagittal" and a.name == name), None)


def film_json(record: FilmRecord) -> str:
    """The text of angles.json."""
    body = {"schema": SCHEMA, "spondyl": __version__, "disclaimer": DISCLAIMER, **asdict(record)}
    return json.dumps(_rounded(body), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def film_record_of(content: bytes, name: str) -> FilmRecord:
    """The record in an angles.json. Raises ValueError where it is damaged, of another kind or of another version."""
    body = Fields(json_object(content, name), name)
    if body.raw.get("spondyl") != __version__ or body.raw.get("schema") != SCHEMA:
        raise ValueError(f"{name} was written by another version; wanted {__version__}")
    inner, spacing = body.inner("intervals"), body.raw.get("spacing_mm")
    scale = None if spacing is None else _numbers(body, "spacing_mm")
    rows, columns = _numbers(body, "shape_px")
    return FilmRecord(
        file=body.text("file"),
        kind=body.text("kind"),
        sha256=body.text("sha256"),
        weights=body.text("weights"),
        view=cast("FilmView", _one_of(body, "view", FILM_VIEWS)),
        verdict=cast("Judgement", _one_of(body, "verdict", JUDGEMENTS)),
        shape_px=(int(rows), int(columns)),
        intervals=Intervals(inner.number("confidence"), inner.number("factor"), inner.whole("patients")),
        claim=body.text("claim"),
        asked=body.text("asked"),
        lateral=body.number_or_none("lateral"),
        reasons=body.texts("reasons"),
        levels=body.texts("levels"),
        level_sure=body.number_or_none("level_sure"),
        score=body.number_or_none("score"),
        total=body.number_or_none("total"),
        negative=body.flag("negative"),
        sides=body.text("sides"),
        faces=body.text("faces"),
        spacing_mm=scale,
        spacing_kind=body.text("spacing_kind"),
        angles=tuple(_angle(one) for one in body.inners("angles")),
        balance_mm=body.number_or_none("balance_mm"),
        lenke=body.text("lenke"),
        not_measured=body.texts("not_measured"),
        notes=body.texts("notes"),
    )


def _angle(one: Fields) -> FilmAngle:
    return FilmAngle(
        name=one.text("name"),
        plane=cast("Plane", _one_of(one, "plane", ("coronal", "sagittal"))),
        upper=one.text("upper"),
        lower=one.text("lower"),
        angle_deg=one.number("angle_deg"),
        low_deg=one.number_or_none("low_deg"),
        high_deg=one.number_or_none("high_deg"),
        apex=one.text("apex"),
        side=one.text("side"),
        main=one.flag("main"),
    )


def _one_of(body: Fields, key: str, wanted: tuple[str, ...]) -> str:
    value = body.text(key)
    if value not in wanted:
        raise ValueError(f"{body.name}: {key} is {value!r}; wanted one of {', '.join(wanted)}")
    return value


def _numbers(body: Fields, key: str) -> tuple[float, float]:
    values = body.things(key)
    if len(values) != 2 or not all(isinstance(v, int | float) for v in values):
        raise ValueError(f"{body.name}: {key} is {values!r}; wanted two numbers")
    first, last = (float(cast("float", v)) for v in values)
    return first, last


def _rounded(value: object, key: str = "") -> object:
    """The same JSON value with every number cut to what its unit deserves."""
    if isinstance(value, dict):
        return {name: _rounded(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, key) for item in value]
    if isinstance(value, float):
        return round(value, 2 if key.endswith("_deg") else 4) + 0.0  # + 0.0: no minus zero
    return value
