"""The ultrasound reader: transverse processes, laminae and spinous tips of a coronal volume-projection image.

No paper; the same network and the same way of reading as `xray_to_corners`. It learns from simulated images, whose landmarks are
exact. From what it finds, `measure.ultrasound_angle` gives the ultrasound curve angle and `measure.spinous_angle` the spinous
process angle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Ultrasound
from spondyl.pairs import Image, Pair
from spondyl.reading.augment import random_picture
from spondyl.reading.look import Read, read_picture
from spondyl.reading.marks import READ_LEVELS, Marks, marks_of_arches
from spondyl.reading.net import ReaderNet
from spondyl.reading.targets import reader_loss
from spondyl.spine import UltrasoundMarks
from spondyl.system import Optim, Preset, Settings, System, Training

BOX, LANDMARKS = 4, 5
POINTS = BOX + LANDMARKS


class UltrasoundToLandmarksConfig(Settings):
    """The network and the canvas it learns on."""

    widths: tuple[int, int, int, int, int, int] = Field(
        default=(24, 32, 64, 96, 128, 24), description="channels of the U-Net's levels and of its last one"
    )
    canvas: tuple[int, int] = Field(default=(384, 96), description="rows and columns of a training picture")


@dataclass(frozen=True, eq=False)
class Scans:
    """A batch: images [h w], each of its own size, with their truths."""

    echoes: tuple[Tensor, ...]
    marks: tuple[Marks, ...]
    pixels: tuple[tuple[float, float], ...]


class UltrasoundToLandmarks(System[Scans]):
    """Ultrasound to UltrasoundMarks. The answer of `sample` is one row a level of READ_LEVELS: 10 coordinates, their 10 SDs,
    whether the arch is there, whether its level is right; NaN where there is none."""

    name = "ultrasound_to_landmarks"
    source = Ultrasound
    target = UltrasoundMarks
    modalities = ("ultrasound", "ultrasound")
    Config = UltrasoundToLandmarksConfig
    presets: ClassVar = {
        "tiny": Preset(
            UltrasoundToLandmarksConfig(widths=(16, 16, 32, 48, 64, 16), canvas=(256, 64)),
            Training(steps=200, batch=2, ema_decay=0.99, optim=Optim(lr=2e-3, warmup_steps=20)),
        ),
        "small": Preset(
            UltrasoundToLandmarksConfig(),
            Training(
                steps=3000,
                batch=8,
                precision="bf16",
                ema_decay=0.998,
                optim=Optim(lr=1.5e-3, warmup_steps=100, clip_norm=5.0),
            ),
        ),
    }

    def __init__(self, config: UltrasoundToLandmarksConfig) -> None:
        super().__init__(config)
        self.canvas = config.canvas
        self.net = ReaderNet(POINTS, config.widths)

    def collate(self, pairs: Sequence[Pair]) -> Scans:
        """Images with the marks that are their targets."""
        echoes, marks, pixels = [], [], []
        for pair in pairs:
            if not isinstance(pair.source, Ultrasound) or not isinstance(pair.target, UltrasoundMarks):
                raise ValueError(
                    f"{self.name} learns from ultrasound images with marks; got {type(pair.target).__name__}"
                )
            echoes.append(pair.source.echo)
            marks.append(marks_of_arches(pair.target))
            pixels.append(pair.source.pixel_spacing_mm)
        return Scans(tuple(echoes), tuple(marks), tuple(pixels))

    def loss(self, batch: Scans, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        """See `reader_loss`; the pictures are made anew every time."""
        made = [
            random_picture(echo[None], marks, self.canvas, pixel, mirror=True, generator=generator)
            for echo, marks, pixel in zip(batch.echoes, batch.marks, batch.pixels, strict=True)
        ]
        maps = self.net(torch.stack([picture for picture, _ in made]))
        return reader_loss(maps, [marks for _, marks in made], [None] * len(made))

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b l 22"]:
        """One answer a picture, pixels taken as square; nothing is random."""
        return torch.stack([_rows(self.find(picture)) for picture in source])

    def find(self, picture: Float[Tensor, "h w"], pixel: tuple[float, float] = (1.0, 1.0)) -> Read:
        """All that is found in one image, with how sure it is."""
        with torch.no_grad():
            return read_picture(self.net, picture.to(self.device, torch.float32), pixel, mirror=True)

    def wrap(self, answer: Float[Tensor, "l 22"], image: Image, view: View | None) -> UltrasoundMarks:
        """The landmarks by level."""
        there = torch.isfinite(answer[:, 0])
        rows = answer[there]
        levels = tuple(level for level, t in zip(READ_LEVELS, there.tolist(), strict=True) if t)
        points, spread = rows[:, :10].reshape(-1, LANDMARKS, 2), rows[:, 10:20].reshape(-1, LANDMARKS, 2)
        return UltrasoundMarks(levels, points[:, :2], points[:, 2:4], points[:, 4], rows[:, 20] * rows[:, 21], spread)


def _rows(read: Read) -> Float[Tensor, "l 22"]:
    out = torch.full((len(READ_LEVELS), 4 * LANDMARKS + 2), torch.nan)
    found = read.chain.vertebrae
    for i, level in enumerate(read.chain.levels):
        if READ_LEVELS[level] != "S1":
            numbers = torch.stack([found.score[i], read.chain.sure[i]])
            out[level] = torch.cat([found.points[i, BOX:].flatten(), found.spread_px[i, BOX:].flatten(), numbers])
    return out
