"""Perceptual distance between two images: LPIPS by a net whose weights the user brings, and its formula for any net.

No weights come with the package. LPIPS wants a safetensors file with the convolutions of AlexNet or VGG16 trained on
ImageNet and the five linear heads of the LPIPS authors, under the names of their program's state dict; where that
program is installed one line makes it:

    safetensors.torch.save_file(dict(lpips.LPIPS(net="alex").state_dict()), "lpips_alex.safetensors")
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Backbone = Literal["alex", "vgg"]


@dataclass(frozen=True)
class Convolution:
    """One convolution with its ReLU: where its weights are called, its shape, and whether a max pool stands before it."""

    name: str
    channels: tuple[int, int]
    kernel: int
    stride: int
    padding: int
    pooled: bool


def _row(name: str, before: int, after: int, kernel: int, *, stride: int = 1, pooled: bool = False) -> Convolution:
    return Convolution(f"net.{name}", (before, after), kernel, stride, 2 if kernel in (5, 11) else 1, pooled)


# One tuple a stage; features are taken after its last ReLU. AlexNet pools 3 x 3, VGG16 2 x 2, both by 2.
STAGES: dict[Backbone, tuple[tuple[Convolution, ...], ...]] = {
    "alex": (
        (_row("slice1.0", 3, 64, 11, stride=4),),
        (_row("slice2.3", 64, 192, 5, pooled=True),),
        (_row("slice3.6", 192, 384, 3, pooled=True),),
        (_row("slice4.8", 384, 256, 3),),
        (_row("slice5.10", 256, 256, 3),),
    ),
    "vgg": (
        (_row("slice1.0", 3, 64, 3), _row("slice1.2", 64, 64, 3)),
        (_row("slice2.5", 64, 128, 3, pooled=True), _row("slice2.7", 128, 128, 3)),
        (_row("slice3.10", 128, 256, 3, pooled=True), _row("slice3.12", 256, 256, 3), _row("slice3.14", 256, 256, 3)),
        (_row("slice4.17", 256, 512, 3, pooled=True), _row("slice4.19", 512, 512, 3), _row("slice4.21", 512, 512, 3)),
        (_row("slice5.24", 512, 512, 3, pooled=True), _row("slice5.26", 512, 512, 3), _row("slice5.28", 512, 512, 3)),
    ),
}
POOL: dict[Backbone, int] = {"alex": 3, "vgg": 2}
LEAST_PX: dict[Backbone, int] = {"alex": 31, "vgg": 16}  # below, a pool has nothing to pool
# From ImageNet colour to the nets' input, for images in [-1, 1] (Zhang et al.'s program, "scaling layer").
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS with loaded weights.

    Args:
        net: the backbone.
        weights: of every convolution and head, by name.
        sha256: of the file they came from, to be told beside every value; empty where they came from none.
    """

    net: Backbone
    weights: dict[str, Tensor]
    sha256: str = ""

    def __post_init__(self) -> None:
        for name, shape in expected_weights(self.net).items():
            got = tuple(self.weights[name].shape) if name in self.weights else None
            if got != shape:
                found = "no such tensor" if got is None else f"shape {got}"
                raise ValueError(f"LPIPS weights: {name} has {found}; wanted {shape}, as in LPIPS(net='{self.net}')")

    @property
    def name(self) -> str:
        """What to write beside a value."""
        return f"LPIPS-{self.net}" + (f" (weights {self.sha256[:12]})" if self.sha256 else "")

    def stages(self, image: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Features after each of the five stages, of images in [-1, 1]."""
        x = (image - image.new_tensor(SHIFT)[:, None, None]) / image.new_tensor(SCALE)[:, None, None]
        found = []
        for stage in STAGES[self.net]:
            for c in stage:
                x = functional.max_pool2d(x, POOL[self.net], 2) if c.pooled else x
                weight, bias = (self.weights[f"{c.name}.{part}"].to(x) for part in ("weight", "bias"))
                x = functional.relu(functional.conv2d(x, weight, bias, c.stride, c.padding))
            found.append(x)
        return found

    def distance(
        self, made: Float[Tensor, "n 1 h w"], real: Float[Tensor, "n 1 h w"], *, low: float, high: float
    ) -> Float[Tensor, "n"]:
        """LPIPS of each pair: 0 for equal images, larger for less alike; differentiable.

        R. Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018, eq. 1, version
        0.1 heads. Grey is repeated to three channels.

        Args:
            low, high: the fixed scale of the images, taken to [-1, 1]; never an image's own extremes.

        Raises:
            ValueError: for images that differ in shape, are too small, leave the scale or hold NaN.
        """
        least = LEAST_PX[self.net]
        if made.shape != real.shape or made.ndim != 4 or made.shape[1] != 1 or min(made.shape[2:]) < least:
            raise ValueError(f"images are {tuple(made.shape)} and {tuple(real.shape)}; wanted n 1 h w, from {least} px")
        if not low < high:
            raise ValueError(f"scale runs from {low} to {high}; wanted low < high")
        a, b = (_to_unit(image, low, high) for image in (made, real))
        heads = [self.weights[f"lin{i}.model.1.weight"].to(a).flatten() for i in range(5)]
        return perceptual_distance(self.stages(a), self.stages(b), heads)


def perceptual_distance(
    made: Sequence[Float[Tensor, "n _ *_"]],
    real: Sequence[Float[Tensor, "n _ *_"]],
    heads: Sequence[Float[Tensor, "_"]],
) -> Float[Tensor, "n"]:
    """Zhang et al.'s eq. 1 for feature maps of any net: sum over stages of the spatial mean of head . (a - b)^2.

    a and b are the maps with every pixel's vector scaled to length 1. With the stages of the net named `SIM` and heads of
    ones it is LPIPS-sim, which compares with nothing in any paper.

    Raises:
        ValueError: where numbers of stages differ.
    """
    if not len(made) == len(real) == len(heads) or not heads:
        raise ValueError(f"{len(made)} and {len(real)} stages with {len(heads)} heads; wanted as many of each")
    total = made[0].new_zeros(len(made[0]))
    for a, b, head in zip(made, real, heads, strict=True):
        a, b = _to_length_one(a), _to_length_one(b)
        total = total + torch.einsum("nc...,c->n...", (a - b).square(), head).flatten(1).mean(dim=1)
    return total


def _to_length_one(x: Float[Tensor, "n _ *_"]) -> Float[Tensor, "n _ *_"]:
    # 1e-10 as in the LPIPS program; the clamp changes no value and keeps the gradient of empty pixels finite.
    return x / (x.square().sum(dim=1, keepdim=True).clamp(min=1e-20).sqrt() + 1e-10)


def expected_weights(net: Backbone) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that `Lpips` wants for a backbone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, stage in enumerate(STAGES[net]):
        for c in stage:
            shapes[f"{c.name}.weight"] = (c.channels[1], c.channels[0], c.kernel, c.kernel)
            shapes[f"{c.name}.bias"] = (c.channels[1],)
        shapes[f"lin{i}.model.1.weight"] = (1, stage[-1].channels[1], 1, 1)
    return shapes


def load_lpips(path: Path | str | None) -> Lpips:
    """LPIPS with the weights of a safetensors file, AlexNet or VGG16 as the file's names tell.

    Raises:
        ValueError: where there is no file, it is no safetensors file, or tensors are missing.
    """
    wanted = "LPIPS wants a safetensors file of lpips.LPIPS(net='alex' or 'vgg').state_dict(); none comes with spondyl"
    if path is None or not Path(path).is_file():
        raise ValueError(f"no weights at {path}: {wanted}")
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = Path(path).read_bytes()
    try:
        weights = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {wanted}".replace("\n", " ")) from None
    net: Backbone = "vgg" if "net.slice1.2.weight" in weights else "alex"
    return Lpips(net, weights, hashlib.sha256(content).hexdigest())


def _to_unit(image: Float[Tensor, "n 1 h w"], low: float, high: float) -> Float[Tensor, "n 3 h w"]:
    slack = 1e-6 * (high - low)
    if not bool(((image >= low - slack) & (image <= high + slack)).all()):
        raise ValueError(
            f"an image leaves the scale [{low}, {high}] or holds NaN; clip it to the scale, or state another"
        )
    return ((image - low) / (high - low) * 2 - 1).expand(-1, 3, -1, -1)
