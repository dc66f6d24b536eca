"""The record of one run: the words of report.json, in plain numbers and text.

report.json is one object. Its keys stay; later versions add keys and raise `schema` when one changes its meaning.

    schema            1
    spondyl           version that wrote it
    verb              "project", "measure" or "demo"
    simulated         true where the patient is virtual: every number in the file is then about a simulation
    disclaimer        one sentence
    settings          name -> value, as given on the command line or by default
    inputs            [{role, name, kind, sha256}]; the hash is of the file, or of a series' sorted file hashes
    volume            {shape_xyz, spacing_mm, world_from_voxel} in world LPS mm, or null
    levels            vertebrae that were read, cranial to caudal; [] without labels
    pictures          [{name, files, seen_from, beam, source_angle_deg, source_to_detector_mm, source_to_patient_mm,
                      pixel_spacing_mm, spacing_at_patient_mm, shape_px, world_from_detector}]; pairs are (v, u), rows
                      before columns; "at patient" is the depth of the spine, or of the CT's centre without labels
    angles            [{name, plane, upper, lower, main, apex, side, angle_deg, picture_deg, truth_deg, error_deg}];
                      angle_deg from the endplates in space, picture_deg from their corners in the picture, truth_deg
                      the designed angle; each null where there is none. main marks the ones to read first. upper and
                      lower name endplates ("T5 superior"), a level or disc for a rotation, "horizontal", "sagittal plane"
    heights           [{level, anterior_mm, middle_mm, posterior_mm}]
    film_readings     [{picture, view, verdict, reasons, levels, level_sure, confidence, calibrated_on, weights, angles}]: what
                      the reader of films found in the written picture alone, with nothing of the CT; its angles are
                      [{name, plane, upper, lower, main, apex, side, angle_deg, low_deg, high_deg, picture_deg,
                      truth_deg}], low_deg to high_deg the interval of that confidence, picture_deg and truth_deg those
                      of the same curve in `angles`; [] where no reader is installed or the verb reads no film
    not_measured      sentences: the angles that are not in the list, and why
    notes             sentences: what was odd in the input, and what was done about it
    files             every other file of the run, in the order of writing

Angles are rounded to 0.01 degree and lengths to 0.001 mm. There is no time and no user in it: the same run writes the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from spondyl import __version__

SCHEMA = 1
DISCLAIMER = (
    "Research software, not a medical device: not for diagnosis, treatment or any other decision about a patient."
)
Scalar = str | int | float | bool | None
Verb = Literal["project", "measure", "demo"]


@dataclass(frozen=True)
class Input:
    """A file, folder or archive that was read. `name` is its last path component only: folders can name patients."""

    role: Literal["ct", "labels", "patient"]
    name: str
    kind: str
    sha256: str


@dataclass(frozen=True)
class VolumeRecord:
    """The grid of the CT: voxels and spacing along (x, y, z), and its placement in world LPS mm."""

    shape_xyz: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    world_from_voxel: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PictureRecord:
    """One radiograph: its files and its geometry. Pairs are (v, u)."""

    name: str
    files: tuple[str, ...]
    seen_from: str
    beam: str
    source_angle_deg: float
    source_to_detector_mm: float
    source_to_patient_mm: float | None
    pixel_spacing_mm: tuple[float, ...]
    spacing_at_patient_mm: tuple[float, ...]
    shape_px: tuple[int, ...]
    world_from_detector: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class AngleRecord:
    """One angle, measured in space, in a picture, or both, beside the designed one where the patient is virtual."""

    name: str
    plane: Literal["coronal", "sagittal", "axial", "ultrasound"]
    upper: str
    lower: str
    main: bool = False
    apex: str | None = None
    side: str | None = None
    angle_deg: float | None = None
    picture_deg: float | None = None
    truth_deg: float | None = None

    @property
    def error_deg(self) -> float | None:
        """Measured in space minus designed."""
        return None if self.angle_deg is None or self.truth_deg is None else self.angle_deg - self.truth_deg


@dataclass(frozen=True)
class HeightRecord:
    """Heights of one vertebral body, mm; None where that part was not seen."""

    level: str
    anterior_mm: float | None
    middle_mm: float | None
    posterior_mm: float | None


@dataclass(frozen=True)
class ReaderAngle:
    """One angle that the reader of films found in a picture, beside those of the same curve in the picture and designed."""

    name: str
    plane: Literal["coronal", "sagittal"]
    upper: str
    lower: str
    main: bool
    apex: str
    side: str
    angle_deg: float
    low_deg: float | None
    high_deg: float | None
    picture_deg: float | None
    truth_deg: float | None


@dataclass(frozen=True)
class ReaderRecord:
    """One picture as the reader of films sees it; a refused one has reasons and no angles.

    `confidence` and `calibrated_on` (patients, 0 for none) are of the intervals, `weights` is the hash of the reader's files.
    """

    picture: str
    view: Literal["pa", "lateral"]
    verdict: Literal["accepted", "flagged", "refused"]
    reasons: tuple[str, ...]
    levels: tuple[str, ...]
    level_sure: float | None
    confidence: float
    calibrated_on: int
    weights: str
    angles: tuple[ReaderAngle, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that one run found and wrote. The page and the JSON are both made from it."""

    verb: Verb
    simulated: bool
    settings: Mapping[str, Scalar]
    inputs: tuple[Input, ...]
    volume: VolumeRecord | None = None
    levels: tuple[str, ...] = ()
    pictures: tuple[PictureRecord, ...] = ()
    angles: tuple[AngleRecord, ...] = ()
    heights: tuple[HeightRecord, ...] = ()
    film_readings: tuple[ReaderRecord, ...] = ()
    not_measured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


ANGLES_KEYS = ("schema", "spondyl", "disclaimer", "inputs", "levels", "angles", "heights", "not_measured", "notes")


def report_json(report: Report) -> str:
    """The text of report.json, keys as in this module's description, two spaces of indent, a newline at the end."""
    return json.dumps(_body(report), indent=2, ensure_ascii=False) + "\n"


def angles_json(report: Report) -> str:
    """The text of angles.json: those keys of report.json that say what was measured."""
    body = _body(report)
    return json.dumps({key: body[key] for key in ANGLES_KEYS}, indent=2, ensure_ascii=False) + "\n"


def _body(report: Report) -> dict[str, object]:
    head = {"schema": SCHEMA, "spondyl": __version__, "verb": report.verb, "simulated": report.simulated}
    body: dict[str, object] = {**head, "disclaimer": DISCLAIMER, **asdict(report)}
    body["angles"] = [{**asdict(angle), "error_deg": angle.error_deg} for angle in report.angles]
    return {key: _rounded(value, key) for key, value in body.items()}


def _rounded(value: object, key: str = "") -> object:
    """The same JSON value with every number cut to what its unit deserves; matrices keep six digits."""
    if isinstance(value, Mapping):
        return {name: _rounded(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, key) for item in value]
    if isinstance(value, float):
        digits = 2 if key.endswith("_deg") else 3 if key.endswith("_mm") else 6
        return round(value, digits) + 0.0  # + 0.0: no minus zero
    return value
