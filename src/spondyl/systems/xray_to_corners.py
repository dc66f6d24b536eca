"""The landmark reader: corners of vertebrae in coronal and lateral radiographs, each with level, confidence and spread.

No paper. Two leads are followed: networks that learn from label maps with random intensities transfer to real images (SynthSeg,
Billot 2023), and corners found as offsets from vertebral middles read tilted endplates well (Yi 2020, arXiv 2001.03187). Own
choices: cells all over a vertebra vote for its corners, with a Laplace scale each; contrast is normalised before the network
sees it; the level comes from a chain over all vertebrae; a second look at the size that the network knows best.

It learns from the layers of simulated patients only (`sim.layers`) and reads one radiograph in any display.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Layers, Radiograph
from spondyl.pairs import Image, Pair, tensor_of
from spondyl.reading.augment import random_picture
from spondyl.reading.features import RadiographFeatures
from spondyl.reading.look import Read, read_picture
from spondyl.reading.marks import READ_LEVELS, Marks, marks_of_corners
from spondyl.reading.net import ReaderNet
from spondyl.reading.targets import reader_loss
from spondyl.spine import Corners
from spondyl.system import Preset, Settings, System, Training
from spondyl.system.settings import Optim

POINTS = 4
# What `measure.steady` wants to know of this network: how much smaller the errors of its tilts are than its corners' spread says.
# Measured on 50 simulated patients (seed 202): SD of (tilt error / stated SD) 0.21 on frontal and 0.34 on lateral films. On real
# frontal films errors are larger; anything from 0.25 to 0.6 read 110 of them alike (docs/sim_to_real.md).
TOGETHER, TOGETHER_LATERAL = 0.3, 0.34
# The network says "lateral" too seldom: a third of what it learnt from was. Of 32 simulated films frontal ones come out at 0.14 to
# 0.18, lateral ones at 0.27 to 0.38; of 115 real frontal films all lie below 0.30, 95 % below 0.28.
LATERAL_FROM, LATERAL_STEEP = 0.30, 12.0
SIDEWAYS = 0.5  # share of the left-right axis in the detector's rows below which a view is lateral


class XrayToCornersConfig(Settings):
    """The network and the canvas it learns on."""

    widths: tuple[int, int, int, int, int, int] = Field(
        default=(32, 48, 96, 160, 224, 32), description="channels of the U-Net's levels and of its last one"
    )
    canvas: tuple[int, int] = Field(default=(384, 192), description="rows and columns of a training picture")


@dataclass(frozen=True, eq=False)
class Films:
    """A batch: pictures [t h w], each with its own t, h and w, and their truths."""

    layers: tuple[Tensor, ...]
    marks: tuple[Marks, ...]
    pixels: tuple[tuple[float, float], ...]
    lateral: tuple[float, ...]


class XrayToCorners(System[Films]):
    """Radiograph to Corners. The answer of `sample` is one row a level of READ_LEVELS: 8 coordinates, their 8 SDs, whether the
    vertebra is there, whether its level is right; NaN where there is none."""

    name = "xray_to_corners"
    source = Radiograph
    target = Corners
    modalities = ("pa_layers", "lateral_layers")
    Config = XrayToCornersConfig
    presets: ClassVar = {
        "tiny": Preset(
            XrayToCornersConfig(widths=(16, 16, 32, 48, 64, 16), canvas=(256, 128)),
            Training(steps=200, batch=2, ema_decay=0.99, optim=Optim(lr=2e-3, warmup_steps=20)),
        ),
        "small": Preset(
            XrayToCornersConfig(),
            Training(
                steps=6000,
                batch=8,
                precision="bf16",
                ema_decay=0.998,
                optim=Optim(lr=1.5e-3, warmup_steps=200, clip_norm=5.0),
                picture_every=500,
                save_every=250,
            ),
        ),
    }

    def __init__(self, config: XrayToCornersConfig) -> None:
        super().__init__(config)
        self.canvas = config.canvas
        self.net = ReaderNet(POINTS, config.widths)

    def collate(self, pairs: Sequence[Pair]) -> Films:
        """Both pictures of a pair are learnt from, as films of their own."""
        films = [(image, pair) for pair in pairs for image in {id(i): i for i in (pair.source, pair.target)}.values()]
        layers, marks, pixels, lateral = [], [], [], []
        for image, pair in films:
            if not isinstance(image, Layers | Radiograph):
                raise ValueError(
                    f"{self.name} learns from radiographs or their layers, not from a {type(image).__name__}"
                )
            layers.append(tensor_of(image).reshape(-1, *image.view.shape_px))
            marks.append(marks_of_corners(pair.spine.project(image.view)))
            pixels.append(pixel_of(image.view))
            lateral.append(1.0 if is_lateral(image.view) else 0.0)
        return Films(tuple(layers), tuple(marks), tuple(pixels), tuple(lateral))

    def loss(self, batch: Films, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        """See `reader_loss`; the pictures are made anew every time."""
        made = [
            random_picture(layers, marks, self.canvas, pixel, mirror=True, generator=generator)
            for layers, marks, pixel in zip(batch.layers, batch.marks, batch.pixels, strict=True)
        ]
        maps = self.net(torch.stack([picture for picture, _ in made]))
        return reader_loss(maps, [marks for _, marks in made], batch.lateral)

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b l 18"]:
        """One answer a picture; nothing is random."""
        pixel = (1.0, 1.0) if view is None else pixel_of(view)
        return torch.stack([_rows(self.find(picture, pixel)) for picture in source])

    def find(self, picture: Float[Tensor, "h w"], pixel: tuple[float, float] = (1.0, 1.0)) -> Read:
        """All that is found in one picture, with how sure it is and from which side it is seen."""
        with torch.no_grad():
            read = read_picture(self.net, picture.to(self.device, torch.float32), pixel, mirror=True)
        return without_sacrum(with_view(read))

    def features(self, sha256: str = "") -> RadiographFeatures:
        """The feature net of FID-sim, KID-sim and LPIPS-sim; the hash of the weights becomes part of its name."""
        return RadiographFeatures(self.net, sha256)

    def wrap(self, answer: Float[Tensor, "l 18"], image: Image, view: View | None) -> Corners:
        """Corners with the image's view."""
        there = torch.isfinite(answer[:, 0])
        rows = answer[there]
        levels = tuple(level for level, t in zip(READ_LEVELS, there.tolist(), strict=True) if t)
        own = image.view if isinstance(image, Radiograph) else view
        points, spread = rows[:, :8].reshape(-1, 4, 2), rows[:, 8:16].reshape(-1, 4, 2)
        return Corners(levels, points, rows[:, 16] * rows[:, 17], own, spread)


def _rows(read: Read) -> Float[Tensor, "l 18"]:
    out = torch.full((len(READ_LEVELS), 4 * POINTS + 2), torch.nan)
    found = read.chain.vertebrae
    for i, level in enumerate(read.chain.levels):
        points, spread = found.points[i].clone(), found.spread_px[i].clone()
        if READ_LEVELS[level] == "S1":
            points[2:], spread[2:] = torch.nan, torch.nan
        numbers = torch.stack([found.score[i], read.chain.sure[i]])
        out[level] = torch.cat([points.flatten(), spread.flatten(), numbers])
    return out


def with_view(read: Read) -> Read:
    """The same with one calibrated probability of a lateral for all vertebrae, the mean by their certainty."""
    found = read.chain.vertebrae
    if not len(found):
        return read
    mean = ((found.lateral * found.score).sum() / found.score.sum().clamp_min(1e-6)).clamp(1e-4, 1 - 1e-4)
    told = torch.sigmoid(LATERAL_STEEP * (mean.logit() - math.log(LATERAL_FROM / (1 - LATERAL_FROM))))
    return replace(read, chain=replace(read.chain, vertebrae=replace(found, lateral=told.expand(len(found)).clone())))


def without_sacrum(read: Read) -> Read:
    """The same without S1 on a lateral: these weights find it on one in ten of them, and miss its slope by 16 degrees."""
    found, levels = read.chain.vertebrae, read.chain.levels
    keep = [i for i, level in enumerate(levels) if READ_LEVELS[level] != "S1"]
    if len(keep) == len(levels) or float(found.lateral.mean()) < 0.5:
        return read
    chain = replace(
        read.chain, vertebrae=found[keep], levels=tuple(levels[i] for i in keep), sure=read.chain.sure[keep]
    )
    return replace(read, chain=chain)


def pixel_of(view: View) -> tuple[float, float]:
    """(v, u) size of a pixel at the patient: a slot magnifies u alone, and its rows are spaced for square pixels there."""
    dv, du = view.pixel_spacing_mm
    return (dv, dv) if view.beam == "slot" else (dv, du)


def is_lateral(view: View) -> bool:
    """Whether the detector's rows run from front to back."""
    return abs(float(view.world_from_detector[0, 0])) < SIDEWAYS


PRESETS = XrayToCorners.presets
