"""Taking the pictures: the settings of a run, and one radiograph of a CT for each view."""

import hashlib
from dataclasses import asdict, dataclass, replace

import torch

from spondyl.geometry import view_angle_deg
from spondyl.images import Radiograph, Volume
from spondyl.io.exposure import Exposure
from spondyl.report.record import Scalar
from spondyl.xray.attenuation import Materials
from spondyl.xray.expose import EXPOSURES, ExposureSettings, expose
from spondyl.xray.geometries import GEOMETRIES, view_for
from spondyl.xray.spectrum import KVP_RANGE

BEAMS = ("slot", "cone", "c-arm", "parallel")
FORMATS = ("dicom", "png", "nifti")
MACHINES = {
    "slot": "biplanar slot scanner",
    "cone": "full spine 180 cm",
    "c-arm": "C-arm",
    "parallel": "parallel beam",
}


@dataclass(frozen=True)
class Exposing:
    """How `project_study` takes its pictures.

    Args:
        views: names of `geometry.NAMED_VIEWS_DEG`, or degrees of the source's azimuth from behind, as text.
        beam: a machine of `xray.geometries`: "slot", "cone", "c-arm" or "parallel".
        kvp: tube voltage, kV.
        ideal: one energy, no scatter, blur or noise; `kvp` then plays no part.
        formats: any of "dicom", "png", "nifti"; none where the page's pictures are enough.
        spacing_mm: pixel spacing along a row of the detector; None for the machine's own, or the CT's if that is coarser.
        seed: of the noise; every picture draws its own from it, so one view more or less changes no other.
    """

    views: tuple[str, ...] = ("pa", "lateral")
    beam: str = "slot"
    kvp: float = 90.0
    ideal: bool = False
    formats: tuple[str, ...] = ("dicom", "png")
    spacing_mm: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = KVP_RANGE
        if not self.views:
            raise ValueError("views names no view; wanted some of pa, ap, lateral, or degrees, such as pa,lateral,30")
        if len({view_angle_deg(name) % 360 for name in self.views}) < len(self.views):
            raise ValueError(f"views are {', '.join(self.views)}; wanted each direction once")
        if self.beam not in BEAMS:
            raise ValueError(f"beam is {self.beam!r}; wanted one of {', '.join(BEAMS)}")
        if not low <= self.kvp <= high:
            raise ValueError(f"kvp is {self.kvp:g}; wanted {low:g} to {high:g} kV")
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            raise ValueError(f"format is {', '.join(unknown)}; wanted any of {', '.join(FORMATS)}")
        if self.spacing_mm is not None and not 0 < self.spacing_mm < 100:
            raise ValueError(f"spacing is {self.spacing_mm:g} mm; wanted a positive pixel spacing on the detector")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}; wanted a whole number from 0 on")

    @classmethod
    def from_text(
        cls, views: str, formats: str, *, beam: str, kvp: float, ideal: bool, spacing_mm: float | None, seed: int
    ) -> "Exposing":
        """The same from lists with commas, as they stand on a command line."""
        if not _listed(formats):
            raise ValueError(f"format is empty; wanted any of {', '.join(FORMATS)}")
        return cls(_listed(views), beam, kvp, ideal, _listed(formats), spacing_mm, seed)


@dataclass(frozen=True, eq=False)
class Shot:
    """One radiograph that was taken: its name, the source's azimuth and how it was exposed."""

    name: str
    angle_deg: float
    radiograph: Radiograph
    exposure: Exposure


def picture_name(view: str) -> str:
    """The file name of a view: its own name, or "030deg" for an angle (30, or -330)."""
    angle = view_angle_deg(view) % 360
    try:
        float(view)
    except ValueError:
        return view.strip().lower().replace("-", "_").replace(" ", "_")
    return f"{angle:05.1f}deg" if angle % 1 else f"{angle:03.0f}deg"


def exposing_settings(exposing: Exposing) -> dict[str, Scalar]:
    """The settings as plain names and values; lists joined by commas."""
    plain = asdict(exposing)
    return {name: ",".join(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))


def take(volume: Volume, materials: Materials, view_name: str, exposing: Exposing) -> Shot:
    """The radiograph of one view, in the field of the machine that `exposing` names, noise drawn for this view alone."""
    angle, name = view_angle_deg(view_name), picture_name(view_name)
    view = view_for(volume, exposing.beam, angle, pixel_spacing_mm=exposing.spacing_mm)
    settings = _settings(exposing)
    generator = torch.Generator().manual_seed(noise_seed(exposing.seed, angle))
    taken = expose(materials, volume.world_from_voxel, view, settings=settings, generator=generator)
    exposure = Exposure(
        kvp=None if exposing.ideal else exposing.kvp,
        mas=None,
        filter_text="" if exposing.ideal else settings.filtration,
        source_to_patient_mm=None,
        geometry_name=MACHINES[exposing.beam],
        view_name=name.upper(),
    )
    return Shot(name, angle, taken, exposure)


def _settings(exposing: Exposing) -> ExposureSettings:
    if exposing.ideal:
        return EXPOSURES["ideal"]
    usual = EXPOSURES["slot" if GEOMETRIES[exposing.beam].beam == "slot" else "pa"]
    return replace(usual, kvp=exposing.kvp)


def noise_seed(seed: int, angle_deg: float) -> int:
    """The seed of one view's noise: its own for every direction, whatever other views are taken."""
    digest = hashlib.sha256(f"{seed} {angle_deg % 360:.6f}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
