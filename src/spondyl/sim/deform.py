"""A scanned person bent along another spine: vertebrae move rigidly, everything else comes along without folds.

`reposed` makes the spine to bend to, `warp` the motion; here the scan, its labels and the skin are carried by it. HU are read
linearly, labels from the nearest voxel. World LPS, mm.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Volume
from spondyl.pairs import Subject
from spondyl.sim.posing import posed_like
from spondyl.sim.warp import Warp, warp_between
from spondyl.sim.warp_field import source_voxels
from spondyl.spine import SpineCurve

AIR_HU = -1000.0
# A scan that nowhere falls below this holds no air: display grey. Its own lowest value then fills what is new.
GREY_ABOVE_HU = -200.0
# What is denser than this must lie inside the new grid.
BODY_HU = -500.0
# Points of the body that the new grid is laid around, mm apart.
SEEN_EVERY_MM = 6.0
# Endplates of the wanted spine may differ from the subject's own by this, mm, before the truth would be wrong.
SAME_BONE_MM = 0.5


def bend(subject: Subject, curve: SpineCurve) -> Subject:
    """The subject with its spine in another shape: CT, labels, skin, and `curve` as the exact truth.

    Args:
        subject: with the spine that its CT shows.
        curve: the same bones elsewhere, for instance from `with_cobb` or `posed_like`. Levels of the subject that it does
            not have move with their neighbours and stay in the truth.

    Returns:
        Spacing and direction of the grid are the subject's; it grows to hold the bent body, new voxels are air. The spine
        is `curve`, exactly, where it has all the subject's levels.

    Raises:
        ValueError: where `curve` has a level that the subject has not, or other bones (endplates more than SAME_BONE_MM off),
            or turns a vertebra by more than 120 degrees.
    """
    target = _with_rows_of(posed_like(subject.spine, curve), curve)
    warp = warp_between(subject.volume, subject.spine, target)
    skin = subject.skin
    if skin is not None:
        skin = replace(skin, vertices_mm=warp.forward(skin.vertices_mm))
    return Subject(warped(subject.volume, warp), target, skin)


def _with_rows_of(posed: SpineCurve, curve: SpineCurve) -> SpineCurve:
    """The subject's own bones in the wanted places, with the wanted curve's numbers where it has the level."""
    rows = [posed.levels.index(level) for level in curve.levels]
    off = (posed.endplates_mm[rows, :, 0] - curve.endplates_mm[:, :, 0]).norm(dim=-1)
    off = torch.maximum(off, (posed.endplates_mm[rows, :, 1:] - curve.endplates_mm[:, :, 1:]).norm(dim=-1).amax(-1))
    off = torch.nan_to_num(off).amax(dim=-1)
    if float(off.max()) > SAME_BONE_MM:
        level = curve.levels[int(off.argmax())]
        raise ValueError(
            f"{level} of the wanted spine is another bone: its endplates lie {float(off.max()):.1f} mm from the subject's own "
            f"(at most {SAME_BONE_MM}); pass posed_like(subject.spine, curve) instead"
        )
    centres, axes, ends, sizes = (t.clone() for t in (posed.centres_mm, posed.axes, posed.endplates_mm, posed.sizes_mm))
    centres[rows], axes[rows] = curve.centres_mm.to(centres), curve.axes.to(axes)
    ends[rows], sizes[rows] = curve.endplates_mm.to(ends), curve.sizes_mm.to(sizes)
    return SpineCurve(posed.levels, centres, axes, sizes, ends)


def warped(volume: Volume, warp: Warp) -> Volume:
    """A volume carried by a warp, on a grid that contains it; see `bend`."""
    air = AIR_HU if float(volume.hu.min()) < GREY_ABOVE_HU else float(volume.hu.min())
    low, shape = _grown(volume, warp)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor(low, dtype=torch.float64)
    world_from_voxel = volume.world_from_voxel.double().cpu() @ shift
    hu = torch.empty(shape, dtype=volume.hu.dtype, device=volume.hu.device)
    labels = (
        None if volume.labels is None else torch.empty(shape, dtype=volume.labels.dtype, device=volume.labels.device)
    )
    above_air = (volume.hu - air)[None, None]
    for slab in source_voxels(volume, warp, world_from_voxel, shape):
        hu[slab.planes] = _linear(above_air, slab.source) + air
        if labels is not None and volume.labels is not None:
            labels[slab.planes] = _nearest(volume.labels, slab.source)
    return Volume(hu, world_from_voxel.to(volume.world_from_voxel), labels)


def _grown(volume: Volume, warp: Warp) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Lowest voxel (x, y, z) of the new grid in the old one, and its shape (z, y, x)."""
    device = volume.hu.device
    planes = [
        torch.tensor(sorted({*range(0, n, max(round(SEEN_EVERY_MM / s), 1)), n - 1}), device=device)
        for n, s in zip(volume.hu.shape, reversed(volume.spacing_mm), strict=True)
    ]
    # A smooth motion takes the outside of the body to the outside.
    outside = torch.nn.functional.pad(volume.hu[torch.meshgrid(*planes, indexing="ij")] <= BODY_HU, [1] * 6, value=True)
    beside = torch.nn.functional.max_pool3d(outside.float()[None], 3, stride=1)[0] > 0
    body = torch.nonzero(beside & ~outside[1:-1, 1:-1, 1:-1])
    index = torch.stack([axis[k] for axis, k in zip(planes, body.T, strict=True)], dim=-1).flip(-1).double()
    world_from_voxel = volume.world_from_voxel.double().to(device)
    world = transform_points(world_from_voxel, index)
    there = transform_points(torch.linalg.inv(world_from_voxel), warp.forward(world.float()).double())
    last = torch.tensor(list(reversed(volume.hu.shape)), dtype=torch.float64, device=device) - 1
    there = torch.cat([there, torch.zeros_like(last)[None], last[None]])
    # A hundredth of a voxel is rounding; anything more gets a whole voxel of air around it.
    low = (torch.floor(there.amin(0) + 0.01) - (there.amin(0) < -0.01).double()).long().tolist()
    high = (torch.ceil(there.amax(0) - 0.01) + (there.amax(0) > last + 0.01).double()).long().tolist()
    x, y, z = (b - a + 1 for a, b in zip(low, high, strict=True))
    return (low[0], low[1], low[2]), (z, y, x)


def _linear(image: Float[Tensor, "1 1 z y x"], at: Float[Tensor, "p h w 3"]) -> Float[Tensor, "p h w"]:
    """An image between its voxels; zero outside."""
    size = at.new_tensor(list(reversed(image.shape[2:])))
    grid = ((2 * at + 1) / size - 1).to(image.dtype)
    # One plane a batch entry: the CPU kernel runs in parallel over these only.
    stack = image.expand(len(at), -1, -1, -1, -1)
    found: Tensor = torch.nn.functional.grid_sample(stack, grid[:, None], padding_mode="zeros", align_corners=False)
    return found[:, 0, 0]


def _nearest(labels: Integer[Tensor, "z y x"], at: Float[Tensor, "p h w 3"]) -> Integer[Tensor, "p h w"]:
    """Labels at the nearest voxel; background outside."""
    size = torch.tensor(list(reversed(labels.shape)), device=at.device)
    index = torch.round(at).long()
    inside = ((index >= 0) & (index < size)).all(dim=-1)
    index = torch.minimum(index.clamp_min(0), size - 1)
    flat = (index[..., 2] * size[1] + index[..., 1]) * size[0] + index[..., 0]
    return torch.take(labels, flat) * inside.to(labels.dtype)
