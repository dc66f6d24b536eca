"""Pictures to learn from: tissues weighed anew, any exposure and display, and any place, size, turn and stretch on the canvas.

All ranges here are our own choice. They reach past the plausible on purpose: a reader that has seen every attenuation takes a
real film for one more (Billot 2023). Attempts and what they gave on real films: docs/sim_to_real.md.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.images import LAYERS
from spondyl.reading.canvas import blurred, normalised, placed
from spondyl.reading.marks import Affine, Marks

# Mean and SD of the log of each layer's weight. Bone weighs more than in a body on the whole: voxels of two millimetres blunt the
# rims of vertebrae, and what an endplate looks like must be seen to be learnt.
LOG_WEIGHT: dict[str, tuple[float, float]] = {
    "soft": (0.0, 0.2),
    "fat": (0.0, 0.3),
    "lung": (0.0, 0.7),
    "heart": (-0.1, 0.3),
    "ribs": (0.1, 0.6),
    "bones": (0.0, 0.4),
    "metal": (0.0, 0.5),
    "spongy": (0.25, 0.35),
    "shell": (1.1, 0.6),
}
GONE: dict[str, float] = {"ribs": 0.1, "lung": 0.1, "fat": 0.1, "heart": 0.05}  # chance of weight 0
PITCH_PX = (9.0, 30.0)  # from one vertebra's middle to the next, on the canvas
USUAL_PITCH_PX = (14.5, 25.0)  # of most pictures: what a reader's second look is given
NOTHING = 0.04  # share of pictures without a spine


@dataclass(frozen=True)
class Dice:
    """Random numbers of one picture, in the order of their use."""

    generator: torch.Generator

    def uniform(self, low: float, high: float) -> float:
        """A number between two ends."""
        return low + (high - low) * float(torch.rand((), generator=self.generator, device=self.generator.device))

    def normal(self, sd: float) -> float:
        """A normal number about 0."""
        return sd * float(torch.randn((), generator=self.generator, device=self.generator.device))

    def happens(self, chance: float) -> bool:
        """True with this chance."""
        return self.uniform(0, 1) < chance

    def field(self, *shape: int) -> Tensor:
        """Normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def smooth(self, size: tuple[int, int], cells: tuple[int, int]) -> Float[Tensor, "h w"]:
        """A smooth random field of about unit SD: normal numbers on few cells, interpolated."""
        coarse = self.field(1, 1, *cells)
        return functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)[0, 0]


def random_picture(
    layers: Float[Tensor, "t h w"],
    marks: Marks,
    size: tuple[int, int],
    pixel: tuple[float, float],
    *,
    mirror: bool,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "2 a b"], Marks]:
    """One picture on a canvas of `size`, normalised, with its marks there.

    Args:
        layers: optical depth of every tissue of LAYERS, or one picture that is shown as it is.
        pixel: (v, u) size of the layers' pixels, in one unit.
        mirror: whether left and right may change places: points are then swapped in pairs.
    """
    dice = Dice(generator)
    if dice.happens(NOTHING):
        return _without_spine(size, dice), Marks(marks.points[:0], marks.patches[:0], marks.levels[:0])
    whole = mixed(layers, dice) if len(layers) == len(LAYERS) else layers[0]
    to_canvas, mirrored = _where(marks, size, pixel, mirror, dice)
    from_canvas = to_canvas.inverse()
    shift = _waves(size, dice) * float(from_canvas.matrix.abs().max())
    picture, seen = placed(_cut(whole, dice), from_canvas, size, shift)
    there = _moved(marks, to_canvas, shift)
    if mirrored:
        there = Marks(_swapped(there.points), there.patches, there.levels)
    shown = _displayed(picture, dice)
    if len(layers) == len(LAYERS):
        shown = _littered(shown, dice)
    shown = _noisy(shown, dice)
    seen = _collimated(seen, dice)
    picture = shown * seen
    # films come with black or white beside the field; half of the time that is part of the picture
    return normalised(picture, seen if dice.happens(0.6) else torch.ones_like(seen)), _kept(there, seen)


def mixed(layers: Float[Tensor, "t h w"], dice: Dice) -> Float[Tensor, "h w"]:
    """Optical depth with a random attenuation of every tissue; calm ones more often than wild ones."""
    wild = dice.uniform(0.3, 1.3)
    weights = [math.exp(LOG_WEIGHT[name][0] + dice.normal(LOG_WEIGHT[name][1] * wild)) for name in LAYERS]
    weights = [0.0 if dice.happens(GONE.get(name, 0.0)) else w for name, w in zip(LAYERS, weights, strict=True)]
    bone = math.exp(dice.normal(0.3 * wild))
    for name in ("ribs", "bones", "spongy", "shell"):
        weights[LAYERS.index(name)] *= bone
    return (torch.tensor(weights, device=layers.device)[:, None, None] * layers).sum(0)


def _where(
    marks: Marks, size: tuple[int, int], pixel: tuple[float, float], mirror: bool, dice: Dice
) -> tuple[Affine, bool]:
    """From picture to canvas: pitch, stretch, turn, mirror, and which vertebra lies in the middle."""
    middles = marks.patches[:, 0]
    scale = torch.tensor(pixel)
    pitch = (
        torch.linalg.norm(middles.diff(dim=0).cpu() * scale, dim=1).median() if len(middles) > 1 else scale.max() * 20
    )
    low, high = USUAL_PITCH_PX if dice.happens(0.75) else PITCH_PX
    zoom = math.exp(dice.uniform(math.log(low), math.log(high))) / float(pitch)
    stretch = math.exp(dice.uniform(-0.3, 0.3) if dice.happens(0.6) else 0.0)
    angle = math.radians(dice.normal(15.0) if dice.happens(0.6) else dice.normal(3.0))
    mirrored = mirror and dice.happens(0.5)
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, s], [-s, c]])
    flip = torch.diag(torch.tensor([1.0, -1.0 if mirrored else 1.0]))
    matrix = (
        flip
        @ torch.diag(torch.tensor([zoom / math.sqrt(stretch), zoom * math.sqrt(stretch)]))
        @ turn
        @ torch.diag(scale)
    )
    # the canvas shows the spine's middle, or any of its vertebrae where it cannot show all
    tall = float((matrix @ (middles[-1] - middles[0]).cpu())[0].abs())
    slack = max(tall - size[0], 0.0) / 2 + 0.12 * size[0]
    aim = (middles[0] + middles[-1]).cpu() / 2 if dice.happens(0.5) else middles.cpu().mean(0)
    place = torch.tensor([size[0] / 2 + dice.uniform(-slack, slack), size[1] / 2 + dice.normal(0.1 * size[1])])
    return Affine(matrix, place - matrix @ aim), mirrored


def _waves(size: tuple[int, int], dice: Dice) -> Float[Tensor, "2 a b"]:
    """A gentle wave of the picture, canvas pixels."""
    reach = abs(dice.normal(1.5))
    return torch.stack([dice.smooth(size, (7, 4)) * reach, dice.smooth(size, (6, 4)) * reach * 1.5])


def _moved(marks: Marks, to_canvas: Affine, shift: Float[Tensor, "2 a b"]) -> Marks:
    """Marks on a canvas whose pixel q shows the picture at from_canvas(q) + shift(q): q by fixed-point iteration."""
    size = shift.shape[1:]

    def go(points: Tensor) -> Tensor:
        flat = points.reshape(-1, 2)
        q = to_canvas(flat)
        for _ in range(4):
            grid = torch.stack([(2 * q[:, 1] + 1) / size[1] - 1, (2 * q[:, 0] + 1) / size[0] - 1], dim=-1).nan_to_num()
            at = functional.grid_sample(shift[None], grid[None, None], padding_mode="border", align_corners=False)
            q = to_canvas(flat - at[0, :, 0].mT)
        return q.reshape(points.shape)

    middle = go(marks.patches[:, 0])
    axes = [
        go(marks.patches[:, 0] + marks.patches[:, k]) - go(marks.patches[:, 0] - marks.patches[:, k]) for k in (1, 2)
    ]
    return Marks(go(marks.points), torch.stack([middle, axes[0] / 2, axes[1] / 2], dim=1), marks.levels)


def _swapped(points: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
    """Left and right of every pair of points change names; an odd last point keeps its own."""
    pairs = points.shape[1] // 2 * 2
    order = [i ^ 1 for i in range(pairs)] + list(range(pairs, points.shape[1]))
    return points[:, order]


def _kept(marks: Marks, seen: Float[Tensor, "a b"]) -> Marks:
    """The vertebrae whose middle the canvas shows."""
    middles = marks.patches[:, 0].round().long()
    a, b = seen.shape
    on = (middles >= 0).all(1) & (middles[:, 0] < a) & (middles[:, 1] < b)
    on = on & (seen[middles[:, 0].clamp(0, a - 1), middles[:, 1].clamp(0, b - 1)] > 0)
    return Marks(marks.points[on], marks.patches[on], marks.levels[on])


def _cut(picture: Float[Tensor, "h w"], dice: Dice) -> Float[Tensor, "h w"]:
    """The film ends somewhere beside the body."""
    if not dice.happens(0.3):
        return picture
    w = picture.shape[1]
    left, right = (int(dice.uniform(0.0, 0.3) * w) for _ in range(2))
    out = picture.clone()
    dark = picture.min() if dice.happens(0.5) else picture.max()
    out[:, :left], out[:, w - right :] = dark, dark
    return out


def _displayed(depth: Float[Tensor, "a b"], dice: Dice) -> Float[Tensor, "a b"]:
    """Grey in about [0, 1]: a window over the middle of the depths, a curve, shading, and detail more or less sharp."""
    depth = blurred(depth[None], [s := max(dice.uniform(-1.2, 1.0), 0.0), s])[0]
    low, high = torch.quantile(
        depth[::4, ::4].flatten(), torch.tensor([dice.uniform(0.0, 0.12), dice.uniform(0.9, 1.0)], device=depth.device)
    )
    grey: Tensor = (depth - low) / (high - low + 1e-6)
    grey = grey + dice.smooth((grey.shape[0], grey.shape[1]), (5, 3)) * abs(dice.normal(0.12))
    bounded = grey.clamp(-0.02 if dice.happens(0.5) else -0.5, 1.02 if dice.happens(0.5) else 1.6)
    grey = (bounded + 0.5) / 1.5
    grey = grey.clamp_min(0).pow(math.exp(dice.normal(0.35)))
    if dice.happens(0.6):  # detail enhancement, as workstations do; it also undoes some of the voxels' blur
        sigma = dice.uniform(1.2, 5.0)
        grey = grey + dice.uniform(0.5, 2.5) * (grey - blurred(grey[None], [sigma, sigma])[0])
    return grey


def _littered(grey: Float[Tensor, "a b"], dice: Dice) -> Float[Tensor, "a b"]:
    """Things that are not the spine: gas and organs as soft ellipses, letters and clips as bright bars, wires, joins."""
    a, b = grey.shape
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float32, device=grey.device) for n in (a, b)), indexing="ij")
    for _ in range(int(dice.uniform(0, 7))):
        turn, tall, wide = dice.uniform(0, math.pi), dice.uniform(3, 40), dice.uniform(3, 25)
        y, x = v - dice.uniform(0, a), u - dice.uniform(0, b)
        along = (math.cos(turn) * y + math.sin(turn) * x) / tall
        across = (-math.sin(turn) * y + math.cos(turn) * x) / wide
        r = (along.square() + across.square()).sqrt()
        grey = grey + dice.normal(0.1) * torch.sigmoid((1 - r) * dice.uniform(3, 20))
    if dice.happens(0.4):  # the mediastinum, or a window that follows the spine
        y, x = (
            (v - a * dice.uniform(0.2, 0.8)) / dice.uniform(40, 200),
            (u - b / 2 - dice.normal(0.08 * b)) / dice.uniform(12, 45),
        )
        grey = grey + dice.normal(0.2) * torch.sigmoid((1 - (y.square() + x.square()).sqrt()) * dice.uniform(2, 8))
    for _ in range(int(dice.uniform(0, 4)) if dice.happens(0.5) else 0):
        top, left = int(dice.uniform(0, a)), int(dice.uniform(0, b))
        high, broad = (2 + int(dice.uniform(0, 14)) for _ in range(2))
        grey[top : top + high, left : left + broad] += dice.normal(0.5)
    if dice.happens(0.15):  # a wire or the edge of clothes
        slope, start = dice.normal(0.6), dice.uniform(0, b)
        line = u - start - slope * v - 10 * torch.sin(v / dice.uniform(15, 80))
        grey = grey + dice.normal(0.3) * torch.exp(-0.5 * (line / dice.uniform(0.7, 1.5)) ** 2)
    if dice.happens(0.15):  # a stitched film
        grey[int(dice.uniform(0.2, 0.8) * a) :] += dice.normal(0.12)
    return grey


def _noisy(grey: Float[Tensor, "a b"], dice: Dice) -> Float[Tensor, "a b"]:
    """Fine and coarse grain."""
    dose = dice.uniform(0, 1)  # most films are calm
    fine = dice.field(*grey.shape) * abs(dice.normal(0.02)) * dose
    sigma = dice.uniform(0.5, 2.0)
    coarse = blurred(dice.field(1, *grey.shape), [sigma, sigma])[0] * sigma * abs(dice.normal(0.025)) * dose
    return grey + fine + coarse


def _collimated(seen: Float[Tensor, "a b"], dice: Dice) -> Float[Tensor, "a b"]:
    """The field's edges, sometimes within the canvas."""
    if not dice.happens(0.35):
        return seen
    a, b = seen.shape
    top, bottom = (int(max(dice.uniform(-0.1, 0.08), 0) * a) for _ in range(2))
    left, right = (int(max(dice.uniform(-0.1, 0.25), 0) * b) for _ in range(2))
    out = seen.clone()
    out[:top], out[a - bottom :], out[:, :left], out[:, b - right :] = 0, 0, 0, 0
    return out


def _without_spine(size: tuple[int, int], dice: Dice) -> Float[Tensor, "2 a b"]:
    """Clouds of several coarsenesses with things on them."""
    picture = torch.zeros(size, device=dice.generator.device)
    for k in range(1, 6):
        picture = picture + dice.smooth(size, (2 + 2**k, 2 + 2 ** (k - 1))) * 0.5**k * math.exp(dice.normal(0.7))
    return normalised(_noisy(_littered(picture, dice), dice), torch.ones_like(picture))
