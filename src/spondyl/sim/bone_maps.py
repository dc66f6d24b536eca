"""How far a point is from each labelled vertebra as it lay in the scan: its body first, its arch a little less firmly.

Elliptic cylinders and rods (`rigid_shapes`) hold from afar; close by, bone is where its label is. World LPS, mm.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from spondyl.images import Volume
from spondyl.sim.rigid_shapes import ARCH_YIELDS_MM, LEAST_VOXELS
from spondyl.spine import LEVEL_LABELS, SpineCurve

# A label counts within this distance of it, mm, and alone within half of it.
REACH_MM = 12.0
# Nodes of a map lie no closer than the voxels and about this far apart, mm.
NODE_MM = 1.0
# The arch begins at this share of the half depth behind the middle of the body: at the posterior wall, where pedicles begin.
WALL_SHARE = 0.9
# What lies further out than this, in half axes of the body, is a transverse process or the head of a rib.
OUT_SHARE = 1.3


@dataclass(frozen=True, eq=False)
class BoneMap:
    """Distance to the label of one level in the scan, zero in its body, ARCH_YIELDS_MM in its arch.

    Args:
        row: the level.
        middle_mm: of the label's box, world; with `radius_mm` a ball beyond which the label is out of reach.
        distance_mm: at the map's nodes.
        map_from_world: world mm to positions (x, y, z) of the map.
    """

    row: int
    middle_mm: Float[Tensor, "3"]
    radius_mm: float
    distance_mm: Float[Tensor, "z y x"]
    map_from_world: Float[Tensor, "4 4"]


def bone_maps(spine: SpineCurve, volume: Volume) -> tuple[BoneMap, ...]:
    """A map for every level with a label; none for S1, whose label is the whole sacrum."""
    if volume.labels is None:
        return ()
    labels = volume.labels.detach().cpu().numpy()
    boxes = ndimage.find_objects(labels.astype(np.int32, copy=False), max(LEVEL_LABELS.values()))
    maps = []
    for row, level in enumerate(spine.levels):
        box = boxes[LEVEL_LABELS[level] - 1]
        if box is None or level == "S1":
            continue
        around = _widened(box, labels.shape, volume.spacing_mm)
        mask = labels[around] == LEVEL_LABELS[level]
        if int(mask.sum()) >= LEAST_VOXELS:
            maps.append(_map_of(spine, row, mask, volume, around))
    return tuple(maps)


def body_part(spine: SpineCurve, row: int, world_mm: Float[ndarray, "n 3"]) -> Bool[ndarray, "n"]:
    """Which points of a level's label are of its body: in front of the posterior wall, and no transverse process."""
    own = (world_mm - spine.centres_mm[row].double().cpu().numpy()) @ spine.axes[row].double().cpu().numpy().T
    wide, deep = (spine.sizes_mm[row, :2].double().cpu().numpy() / 2).tolist()
    return np.asarray((own[:, 1] < WALL_SHARE * deep) & (np.hypot(own[:, 0] / wide, own[:, 1] / deep) < OUT_SHARE))


def _widened(
    box: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> tuple[slice, ...]:
    """A label's box with room for the distances that are asked for."""
    room = [int(np.ceil((REACH_MM + 4) / s)) for s in reversed(spacing_mm)]
    return tuple(
        slice(max(side.start - r, 0), min(side.stop + r, n)) for side, r, n in zip(box, room, shape, strict=True)
    )


def _map_of(
    spine: SpineCurve, row: int, mask: Bool[ndarray, "z y x"], volume: Volume, around: tuple[slice, ...]
) -> BoneMap:
    """The map of one label in its box."""
    steps = [max(int(NODE_MM / s), 1) for s in reversed(volume.spacing_mm)]
    mask = mask[:: steps[0], :: steps[1], :: steps[2]]
    place = torch.eye(4, dtype=torch.float64)
    for axis, (side, step) in enumerate(zip(reversed(around), reversed(steps), strict=True)):
        place[axis, axis], place[axis, 3] = step, side.start
    world_from_map = volume.world_from_voxel.detach().cpu().double() @ place
    index = np.argwhere(mask)
    affine = world_from_map.numpy()
    world = index[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    middle = (world.min(axis=0) + world.max(axis=0)) / 2
    radius = float(np.linalg.norm(world - middle, axis=1).max()) + REACH_MM
    in_body = body_part(spine, row, world)
    body = np.zeros_like(mask)
    body[tuple(index[in_body].T)] = True
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    to_arch = _distance(mask & ~body, spacing) + ARCH_YIELDS_MM
    distance = torch.from_numpy(np.minimum(_distance(body, spacing), to_arch)).float()
    return BoneMap(row, torch.from_numpy(middle), radius, distance, torch.linalg.inv(world_from_map).float())


def _distance(mask: Bool[ndarray, "z y x"], spacing: Float[ndarray, "3"]) -> Float[ndarray, "z y x"]:
    """Distance to the faces of a mask's voxels, across the finest side; beyond reach where it is empty."""
    if not mask.any():
        return np.full(mask.shape, 2 * REACH_MM)
    to_centres = ndimage.distance_transform_edt(~mask, sampling=spacing)
    return np.asarray(np.clip(to_centres - spacing.min() / 2, 0, None))
