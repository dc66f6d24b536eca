"""A subject, a pair of images of one subject with its truth, and a batch of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.images import BackImage, Layers, Radiograph, Ultrasound, Volume
from spondyl.spine import SpineCurve, UltrasoundMarks

Image = Volume | Radiograph | Ultrasound | BackImage | Layers


@dataclass(frozen=True, eq=False)
class Skin:
    """The body surface: a triangle mesh, world LPS mm, faces counter-clockwise from outside."""

    vertices_mm: Float[Tensor, "n 3"]
    faces: Integer[Tensor, "m 3"]

    def __post_init__(self) -> None:
        if self.faces.numel() and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < len(self.vertices_mm):
            raise ValueError(f"faces name vertices outside 0 to {len(self.vertices_mm) - 1}; check the mesh")


@dataclass(frozen=True, eq=False)
class Subject:
    """One person, real or simulated: the CT with labels, the exact spine and the skin, in one world frame."""

    volume: Volume
    spine: SpineCurve
    skin: Skin | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images of one subject, or an image and its marks, and the spine that made both. `seed` rebuilds it."""

    source: Image
    target: Image | UltrasoundMarks
    spine: SpineCurve
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; wanted a whole number from 0 on")


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs stacked for a network: the tensors of source and target, and the pairs' truths in the same order."""

    source: Float[Tensor, "b *c"]
    target: Float[Tensor, "b *d"]
    spines: tuple[SpineCurve, ...]
    seeds: tuple[int, ...]


def tensor_of(image: Image | UltrasoundMarks) -> Tensor:
    """The numbers of an image in its own unit: HU, optical depth (of each layer), echo, or colour and depth as 4 channels.

    Raises:
        ValueError: for marks, which are no image.
    """
    if isinstance(image, UltrasoundMarks):
        raise ValueError("marks are no image; a system that learns from them makes its batches itself")
    if isinstance(image, Volume):
        return image.hu
    if isinstance(image, Radiograph | Layers):
        return image.optical_depth
    if isinstance(image, Ultrasound):
        return image.echo
    return torch.cat([image.rgb, image.depth_mm[..., None, :, :]], dim=-3)


def collate(pairs: Sequence[Pair]) -> Batch:
    """A batch of pairs whose images have one shape. Raises ValueError naming the two shapes that differ."""
    if not pairs:
        raise ValueError("collate got no pair; wanted at least one")
    for name, kinds in (("source", {type(p.source) for p in pairs}), ("target", {type(p.target) for p in pairs})):
        if len(kinds) > 1:
            raise ValueError(
                f"{name} images are of several kinds: {sorted(k.__name__ for k in kinds)}; batch one kind at a time"
            )
    sources, targets = [tensor_of(p.source) for p in pairs], [tensor_of(p.target) for p in pairs]
    for name, tensors in (("source", sources), ("target", targets)):
        shapes = {tuple(t.shape) for t in tensors}
        if len(shapes) > 1:
            raise ValueError(f"{name} images differ in shape: {sorted(shapes)}; resample them to one grid first")
    return Batch(
        torch.stack(sources), torch.stack(targets), tuple(p.spine for p in pairs), tuple(p.seed for p in pairs)
    )
