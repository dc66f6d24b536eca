"""Real and virtual full-spine films on one scale: the same crop about the spine, the same rows, 8-bit grey of a display.

Real films are 8-bit pictures as somebody's workstation exported them: their grey is a display's, bone bright, and how it came
from the detector is not known. Virtual ones are optical depth; they become such pictures by the chain of `sim/film.py` or by the
plain display curve of `xray/detector.py`. Both are then cropped from T1 to L5 with the margins that the real ones have, resized
with antialiasing to ROWS, rounded to 8 bits. No picture is stretched to its own extremes.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.pairs import Subject
from spondyl.sim import patient as patient_package
from spondyl.sim.film import FilmLook
from spondyl.sim.film_furniture import Furniture
from spondyl.sim.patient import draw, rasterise
from spondyl.sim.radiograph import PA, RadiographSensor
from spondyl.sim.seeds import generator_of
from spondyl.spine import Corners
from spondyl.xray.attenuation import Materials, materials
from spondyl.xray.expose import expose_areal
from spondyl.xray.project import project_channels

Grey = NDArray[np.float32]
ROWS = 256  # of a film: about 1.7 mm a pixel
SPACING_MM = 1.5  # of the virtual patients' voxels, finer than the films' pixels
THORACOLUMBAR = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
CORNERS = ("TL", "TR", "BL", "BR")


@dataclass(frozen=True)
class Margins:
    """What a film shows about the spine, in heights of T1 to L5.

    Args:
        top, bottom: beyond the uppermost and the lowest corner.
        left, right: of the picture, from the mean of all corners.
    """

    top: float
    bottom: float
    left: float
    right: float


@dataclass(frozen=True, eq=False)
class Film:
    """One film: grey in [0, 1], ROWS high, bone bright, the patient's left on the right."""

    name: str
    grey: Grey
    margins: Margins


def sized(grey: Grey) -> Grey:
    """The picture at ROWS rows with its own proportions, each new pixel the mean of what it covers; rounded to 8 bits."""
    h, w = grey.shape
    columns = max(1, round(w * ROWS / h))
    small = np.asarray(Image.fromarray(grey.astype(np.float32)).resize((columns, ROWS), Image.Resampling.BOX))
    return np.asarray(np.round(small.clip(0, 1) * 255) / 255, dtype=np.float32)


def real_films(folder: Path) -> list[Film]:
    """The annotated films of a folder with images/ and annotations.csv.

    Raises:
        OSError: where it cannot be read.
    """
    films = []
    with (folder / "annotations.csv").open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            grey = np.asarray(Image.open(folder / "images" / record["image"]).convert("L"), dtype=np.float32) / 255
            films.append(Film(record["image"], sized(grey), _margins(record)))
    return films


def _margins(record: dict[str, str]) -> Margins:
    places = [f"{level}_{corner}" for level in THORACOLUMBAR for corner in CORNERS]
    x, y = (np.array([float(record[f"{p}_{axis}"]) for p in places]) for axis in "xy")
    height = float(y.max() - y.min())
    right, bottom = float(record["width"]) - x.mean(), float(record["height"]) - y.max()
    return Margins(*(float(part) / height for part in (y.min(), bottom, x.mean(), right)))


@dataclass(frozen=True, eq=False)
class Exposed:
    """A virtual patient before the exposure: what every ray passes, so that any exposure can be made of it."""

    name: str
    sensor: RadiographSensor
    areal_g_cm2: torch.Tensor
    names: tuple[str, ...]
    corners: Corners

    def radiograph(self, sensor: RadiographSensor, seed: int) -> Radiograph:
        """The radiograph of this patient by a sensor that stands where this one's stands."""
        view = self.corners.view
        assert view is not None
        g = generator_of(seed, self.name, "noise")
        return expose_areal(self.areal_g_cm2, self.names, view, settings=sensor.exposure(), generator=g)


def cache_folder(root: Path) -> Path:
    """Where films of the present virtual patient are kept: another wording of its code has another folder."""
    source = Path(str(patient_package.__file__)).parent
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(source.iterdir()) if p.is_file()))
    return root / digest.hexdigest()[:12]


def virtual_patients(count: int, seed: int, folder: Path) -> Iterator[Exposed]:
    """Screening and surgical patients in turns, without metal or brace; made once and then read from the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        path = folder / f"{seed}_{SPACING_MM:g}mm_{k:03d}.pt"
        if not path.exists():
            part = path.with_suffix(".part")
            torch.save(_made(seed, k), part)
            part.replace(path)
        yield _read(path, k, seed)


def _sensor(seed: int, k: int) -> RadiographSensor:
    return PA.randomised(generator=generator_of(seed, k, "settings"))


def _drawn(seed: int, k: int) -> patient_package.Patient:
    kind = "surgical" if k % 2 else "screening"
    return draw(generator=generator_of(seed, k, "patient"), cohort=kind, instrumented=False, braced=False)


def _made(seed: int, k: int) -> dict[str, object]:
    patient = _drawn(seed, k)
    volume = rasterise(patient, spacing_mm=SPACING_MM)
    view = _sensor(seed, k).framing(Subject(volume, patient.spine))
    stuff: Materials = materials(volume)
    areal = project_channels(stuff.density_g_cm3, volume.world_from_voxel, view) / 10
    place = [view.world_from_detector, view.source_to_detector_mm, torch.tensor(view.pixel_spacing_mm)]
    return {"areal": areal.half().float(), "names": list(stuff.names), "place": place}


def _read(path: Path, k: int, seed: int) -> Exposed:
    kept = torch.load(path, weights_only=True)
    placed, distance, pixel = kept["place"]
    spacing = (float(pixel[0]), float(pixel[1]))
    rows, columns = kept["areal"].shape[-2:]
    view = View(placed, distance, spacing, (rows, columns), "slot")
    corners = _drawn(seed, k).spine.project(view)
    return Exposed(f"virtual {k}", _sensor(seed, k), kept["areal"], tuple(kept["names"]), corners)


def virtual_film(exposed: Exposed, look: FilmLook, margins: Margins, seed: int, *, bare: bool) -> Film:
    """The film that a hospital would have stored of a virtual patient.

    Args:
        look: display chain.
        margins: what is shown beyond the spine, from a real film.
        bare: without letters, joins and fasteners.
    """
    sensor = replace(exposed.sensor, furniture=Furniture()) if bare else exposed.sensor
    grey = look(sensor.furniture.laid_on(exposed.radiograph(sensor, seed)))
    return Film(exposed.name, sized(cropped(grey, exposed.corners, margins).numpy()), margins)


def cropped(grey: torch.Tensor, corners: Corners, margins: Margins) -> torch.Tensor:
    """The part of a picture from T1 to L5 with these margins, columns reversed: the patient's left on the right.

    A slot's pixels are square at the patient's centre, so its pictures need no other scale along a row.
    """
    rows = [i for i, level in enumerate(corners.levels) if level in THORACOLUMBAR]
    v, u = corners.corners_px[rows].reshape(-1, 2).unbind(-1)
    height = float(v.max() - v.min())
    first, last = float(v.min()) - margins.top * height, float(v.max()) + margins.bottom * height
    low, high = float(u.mean()) - margins.right * height, float(u.mean()) + margins.left * height
    top, left = max(round(first), 0), max(round(low), 0)
    return grey[top : max(round(last), top + 8), left : max(round(high), left + 8)].flip(1)
