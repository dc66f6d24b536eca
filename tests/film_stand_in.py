"""Films drawn from a known spine, and a reader that knows them: what measuring films is tested with, without weights."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from spondyl.geometry import View
from spondyl.measure.interval import Calibration
from spondyl.pipeline.film_reader import Reader
from spondyl.reading.chain import Chain
from spondyl.reading.decode import Vertebrae
from spondyl.reading.look import Read
from spondyl.reading.marks import READ_LEVELS
from spondyl.sim.patient import demo_patient
from spondyl.spine import Corners, SpineCurve

SHAPE = (600, 300)
NEAR = 0.02  # grey


@cache
def spine() -> SpineCurve:
    """C7 to S1 with curves of 18, 42 and 26 degrees, kyphosis T4-T12 30, lordosis L1-S1 56, sacral slope 39."""
    return demo_patient().spine


def corners(angle_deg: float = 0.0, pixel: tuple[float, float] = (1.0, 1.0), levels: tuple[str, ...] = ()) -> Corners:
    """The spine's corners in a parallel view: 0 from behind, 90 a left lateral (the patient looks right)."""
    known = spine().subset(levels) if levels else spine()
    shape = (round(SHAPE[0] / pixel[0]), round(SHAPE[1] / pixel[1]))
    middle = spine().centres_mm.mean(0).tolist()
    view = View.around(middle, angle_deg=angle_deg, shape_px=shape, pixel_spacing_mm=pixel, beam="parallel")
    return known.project(view)


def drawn(found: Corners) -> np.ndarray:
    """An 8-bit film with a bright box for every vertebra on a soft ground."""
    assert found.view is not None
    h, w = found.view.shape_px
    ground = 40 + 60 * np.exp(-(((np.arange(w) - w / 2) / (w / 4)) ** 2))
    image = Image.fromarray(np.tile(ground, (h, 1)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for box in found.corners_px.tolist():
        if np.isfinite(box).all():
            a, b, c, d = ((u, v) for v, u in box)
            pen.polygon([a, b, d, c], fill=200)
    return np.asarray(image)


def read_of(
    found: Corners,
    *,
    score: float = 0.9,
    sure: float = 0.95,
    lateral: float = 0.03,
    spread_px: float = 0.05,
    total: float | None = None,
) -> Read:
    """What a reader that finds exactly these corners answers."""
    n = len(found.levels)
    points = torch.nan_to_num(found.corners_px.float(), nan=0.0)
    vertebrae = Vertebrae(
        points,
        torch.full((n, 4, 2), spread_px),
        torch.zeros(n, len(READ_LEVELS)),
        torch.full((n,), score),
        torch.full((n,), lateral),
    )
    levels = tuple(READ_LEVELS.index(level) for level in found.levels)
    return Read(Chain(vertebrae, levels, torch.full((n,), sure), 2.0 * n if total is None else total), 5)


def nothing() -> Read:
    """A picture in which nothing was found."""
    empty = torch.zeros(0)
    none = Vertebrae(torch.zeros(0, 4, 2), torch.zeros(0, 4, 2), torch.zeros(0, len(READ_LEVELS)), empty, empty)
    return Read(Chain(none, (), empty, 0.0), 1)


@dataclass(eq=False)
class StandIn:
    """Answers for the pictures that it knows, nothing for others; `asked` counts, `pixels` remembers."""

    known: list[tuple[torch.Tensor, Read]] = field(default_factory=list)
    asked: int = 0
    pixels: list[tuple[float, float]] = field(default_factory=list)

    def knows(self, film: np.ndarray, read: Read) -> None:
        """Teach one 8-bit film, bone bright."""
        self.known.append((torch.from_numpy(film.astype(np.float32) / 255), read))

    def find(self, picture: torch.Tensor, pixel: tuple[float, float] = (1.0, 1.0)) -> Read:
        """The read of the film that this is."""
        self.asked += 1
        self.pixels.append(pixel)
        for film, read in self.known:
            if film.shape == picture.shape and float((film - picture).abs().max()) < NEAR:
                return read
        return nothing()

    def reader(self) -> Reader:
        """With nominal intervals."""
        return Reader(self, "0" * 64, Calibration.nominal(), Calibration.nominal())


def saved(film: np.ndarray, path: Path) -> Path:
    """The film as PNG."""
    Image.fromarray(np.ascontiguousarray(film)).save(path)
    return path
