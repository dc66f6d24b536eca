"""The reader of films with its weights and the calibration of its intervals, and how it looks at one film."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.io.json_line import Fields, json_object
from spondyl.measure.interval import Calibration
from spondyl.pipeline.film_guard import Turned, may_be_upside_down, reads_badly
from spondyl.reading.look import Read
from spondyl.reading.marks import READ_LEVELS, Affine
from spondyl.spine import Corners
from spondyl.weights import weights_folder

SYSTEM = "xray_to_corners"
CALIBRATION = "calibration.json"
# Along the longer side. The reader's closest look has 24 pixels a level; this leaves it three times as many on a whole spine.
MOST_PX = 2048
# Files are seldom negatives: the other polarity must show clearly more, about two vertebrae.
NEGATIVE_MARGIN = 5.0
HASHED = ("model.safetensors", "config.json", CALIBRATION)


@runtime_checkable
class Finder(Protocol):
    """What finds vertebrae: `XrayToCorners`, or anything that answers like it."""

    def find(self, picture: Float[Tensor, "h w"], pixel: tuple[float, float] = (1.0, 1.0)) -> Read:
        """All that is found in a picture (bone bright) with pixels of this (v, u) size."""
        ...


@dataclass(frozen=True, eq=False)
class Reader:
    """A finder, the hash of what it was made from, and how its intervals are calibrated in both planes."""

    finder: Finder
    weights: str
    coronal: Calibration
    sagittal: Calibration


@dataclass(frozen=True, eq=False)
class Looked:
    """The best look at a film: what was found, whether black and white were exchanged for it, a turn that reads better."""

    read: Read
    negative: bool
    turned: Turned | None = None


def load_reader(folder: Path | None = None) -> Reader:
    """The reader whose weights lie in a folder; None takes those that ship with the package.

    Raises:
        ValueError: where there are none, or a file is damaged.
    """
    from spondyl.systems.xray_to_corners import XrayToCorners

    place = weights_folder(SYSTEM) if folder is None else folder
    system = XrayToCorners.from_pretrained(place)
    if not isinstance(system, XrayToCorners):
        raise ValueError(f"{place} holds another system; wanted {SYSTEM}")
    coronal, sagittal = calibrations(place)
    return Reader(system, weights_hash(place), coronal, sagittal)


def weights_hash(folder: Path) -> str:
    """SHA-256 over the files that decide what is read and how wide its intervals are; hex."""
    whole = hashlib.sha256()
    for name in HASHED:
        path = folder / name
        whole.update(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''};".encode())
    return whole.hexdigest()


def calibrations(folder: Path) -> tuple[Calibration, Calibration]:
    """Those of coronal and of sagittal angles.

    calibration.json is {"coronal": {"confidence", "factor", "patients"}, "sagittal": the same}; what it lacks is nominal.

    Raises:
        ValueError: where it is damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return Calibration.nominal(), Calibration.nominal()
    body = Fields(json_object(path.read_bytes(), str(path)), str(path))

    def one(name: str) -> Calibration:
        if name not in body.raw:
            return Calibration.nominal()
        part = body.inner(name)
        return Calibration(part.number("confidence"), part.number("factor"), part.whole("patients"))

    return one("coronal"), one("sagittal")


def look(reader: Reader, grey: Float[Tensor, "h w"], pixel: tuple[float, float], *, either_polarity: bool) -> Looked:
    """The film as it reads best; where that is badly, the three other turns are tried too.

    Args:
        either_polarity: nothing says whether bone is bright: the negative is read as well, and the one with more evidence
            taken.
    """
    read, negative = found_in(reader.finder, grey, pixel), False
    if either_polarity:
        other = found_in(reader.finder, 1 - grey, pixel)
        if other.chain.total > read.chain.total + NEGATIVE_MARGIN:
            read, negative = other, True
    asked = (1, 2, 3) if reads_badly(read) else (2,) if may_be_upside_down(read) else ()
    if not asked:
        return Looked(read, negative)
    shown = 1 - grey if negative else grey
    turns = []
    for quarters in asked:  # counter-clockwise
        swapped = pixel if quarters == 2 else (pixel[1], pixel[0])
        found = found_in(reader.finder, torch.rot90(shown, quarters, (0, 1)).contiguous(), swapped)
        turns.append(Turned((360 - 90 * quarters) % 360, found.chain.total))
    return Looked(read, negative, max(turns, key=lambda t: t.total))


def found_in(finder: Finder, grey: Float[Tensor, "h w"], pixel: tuple[float, float]) -> Read:
    """What is found in a picture, its pixels; a picture of more than MOST_PX pixels along a side is looked at smaller."""
    times = -(-max(grey.shape) // MOST_PX)
    if times == 1 or min(grey.shape) < times:
        return finder.find(grey, pixel)
    read = finder.find(functional.avg_pool2d(grey[None, None], times)[0, 0], pixel)
    back = Affine(torch.eye(2) * float(times), torch.full((2,), (times - 1) / 2))
    return replace(read, chain=replace(read.chain, vertebrae=read.chain.vertebrae.moved(back)))


def corners_of(read: Read) -> Corners:
    """What was found as corners in the film's pixels; S1 has its superior endplate alone. The view is not known."""
    found = read.chain.vertebrae
    levels = tuple(READ_LEVELS[level] for level in read.chain.levels)
    points, spread = found.points[:, :4].clone(), found.spread_px[:, :4].clone()
    if "S1" in levels:
        points[levels.index("S1"), 2:] = torch.nan
        spread[levels.index("S1"), 2:] = torch.nan
    return Corners(levels, points, (found.score * read.chain.sure).clamp(0, 1), None, spread)


def squared(corners: Corners, pixel: tuple[float, float]) -> Corners:
    """The same corners in pixels that are square, as high as the film's are."""
    scale = torch.tensor([1.0, pixel[1] / pixel[0]])
    spread = None if corners.spread_px is None else corners.spread_px * scale
    return Corners(corners.levels, corners.corners_px * scale, corners.confidence, None, spread)
