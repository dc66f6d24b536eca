"""What stays rigid when a scanned spine is bent: bodies, arches, and the bones that hang on the spine's two ends.

Every shape gives a distance, zero inside, in the frame of its vertebra; world LPS, mm.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.spine import LEVEL_LABELS, LEVELS, SpineCurve

# Depth of the S1 body below its endplate, mm (Panjabi's lumbar table, anterior height).
SACRAL_HEIGHT_MM = 30.0
# Thickness of the rods that stand for an arch, mm: half the lamina's and the processes' height, less their rounding.
ROD_MM = (4.5, 3.5)
# An arch yields to its neighbours' bodies: spinous processes overlap the level below.
ARCH_YIELDS_MM = 1.0
# Rods of an arch without a label, in half widths, half depths and heights of its body from its centre: tips of the transverse
# processes, base and tip of the spinous process (Panjabi 1991, 1992, means of T6 to L3).
USUAL_RODS = (((1.8, 1.9, 0.1), (-1.8, 1.9, 0.1)), ((0.0, 2.0, -0.1), (0.0, 3.2, -0.8)))
# Half width of the strip in which the spinous process is looked for, mm.
SPINOUS_HALF_MM = 6.0
# Fewest voxels that tell where an arch is [engineering].
LEAST_VOXELS = 60
# Spacing of the distance maps of whole bones, mm; the bones are far larger.
MAP_MM = 8.0
# Bones that move with the lowest and with the highest vertebra, besides vertebrae beyond the ends of the spine.
BELOW = ("coccyx", "pelvis", "femur")
ABOVE = ("skull",)


@dataclass(frozen=True, eq=False)
class VertebraShapes:
    """Body (elliptic cylinder between two planes) and arch (two rods) of each level, in its own frame.

    Args:
        planes: rows n with n . (x, y, z) + offset: x / A and y / B across the body, height above the superior plane, depth
            below the inferior one.
        offsets: of the planes.
        radius_mm: mean half axis of each body.
        rods_mm: middle and half length vector of the rod between the transverse processes' tips and of the rod along the
            spinous process.
    """

    planes: Float[Tensor, "l 4 3"]
    offsets: Float[Tensor, "l 4"]
    radius_mm: Float[Tensor, "l"]
    rods_mm: Float[Tensor, "l 2 2 3"]


@dataclass(frozen=True, eq=False)
class RigidPart:
    """Bones that move with one level: a map of the distance to them, as they lay in the scan.

    Args:
        row: the level that carries them.
        distance_mm: on the map's grid.
        map_from_world: world mm to positions (x, y, z) of the map.
    """

    row: int
    distance_mm: Float[Tensor, "z y x"]
    map_from_world: Float[Tensor, "4 4"]


@dataclass(frozen=True, eq=False)
class _Shape:
    """One level's row of VertebraShapes."""

    planes: Float[ndarray, "4 3"]
    offsets: Float[ndarray, "4"]
    radius_mm: float
    rods_mm: Float[ndarray, "2 2 3"]


def vertebra_shapes(spine: SpineCurve, volume: Volume) -> VertebraShapes:
    """The shapes of a spine's levels; arches from the volume's labels where it has them, else of usual size."""
    voxels = _voxels_of(volume, spine.levels)
    axes, centres = spine.axes.double().cpu().numpy(), spine.centres_mm.double().cpu().numpy()
    ends = spine.endplates_mm.double().cpu().numpy()
    shapes = []
    for row, level in enumerate(spine.levels):
        origin = np.stack([centres[row], np.zeros(3), np.zeros(3)])
        own = (voxels[level] - centres[row]) @ axes[row].T
        shapes.append(_shape((ends[row] - origin) @ axes[row].T, own, level != "S1"))
    return VertebraShapes(
        torch.from_numpy(np.stack([s.planes for s in shapes])),
        torch.from_numpy(np.stack([s.offsets for s in shapes])),
        torch.tensor([s.radius_mm for s in shapes]),
        torch.from_numpy(np.stack([s.rods_mm for s in shapes])),
    )


def _shape(ends: Float[ndarray, "2 3 3"], voxels: Float[ndarray, "n 3"], has_arch: bool) -> _Shape:
    """One level, everything in its own frame."""
    half = np.nanmean(np.linalg.norm(ends[:, 1:], axis=-1), axis=0)
    up = np.cross(ends[0, 1], ends[0, 2])
    up /= np.linalg.norm(up)
    if np.isfinite(ends[1]).all():
        down = -np.cross(ends[1, 1], ends[1, 2])
        down /= np.linalg.norm(down)
        low, height = ends[1, 0], float(np.linalg.norm(ends[0, 0] - ends[1, 0]))
    else:
        down, low, height = -up, ends[0, 0] - SACRAL_HEIGHT_MM * up, SACRAL_HEIGHT_MM
    middle = (ends[0, 0] + low) / 2
    planes = np.stack([[1 / half[0], 0, 0], [0, 1 / half[1], 0], up, down])
    offsets = -np.array([planes[0] @ middle, planes[1] @ middle, up @ ends[0, 0], down @ low])
    depths = voxels @ planes.T + offsets
    behind = voxels[(np.hypot(depths[:, 0], depths[:, 1]) > 1.15) & (depths[:, 1] > 0.5)]
    tips = middle + np.array(USUAL_RODS) * np.array([*half, height])
    if len(behind) >= LEAST_VOXELS:
        tips = _tips(behind)
    if not has_arch:
        tips = np.broadcast_to(middle, tips.shape)
    rods = np.stack([tips.mean(axis=1), (tips[:, 0] - tips[:, 1]) / 2], axis=1)
    return _Shape(planes, offsets, float(half.mean()), rods)


def _tips(arch: Float[ndarray, "n 3"]) -> Float[ndarray, "2 2 3"]:
    """Ends of the two rods of an arch: transverse tips left and right, base and tip of the spinous process."""
    order = np.argsort(arch[:, 0])
    few = max(len(arch) // 30, 5)
    right, left = arch[order[:few]].mean(axis=0), arch[order[-few:]].mean(axis=0)
    central = arch[np.abs(arch[:, 0] - np.median(arch[:, 0])) < SPINOUS_HALF_MM]
    if len(central) < few:
        central = arch
    reach = np.argsort(central[:, 1] - central[:, 2])
    count = max(len(central) // 15, 3)
    base, tip = central[reach[:count]].mean(axis=0), central[reach[-count:]].mean(axis=0)
    return np.stack([[left, right], [base, tip]])


def _voxels_of(volume: Volume, levels: tuple[str, ...]) -> dict[str, Float[ndarray, "n 3"]]:
    """World positions of each level's voxels, thinned to some thousands; none for S1, whose label is the sacrum."""
    nothing = np.zeros((0, 3))
    found = dict.fromkeys(levels, nothing)
    if volume.labels is None:
        return found
    labels = volume.labels.detach().cpu().numpy()
    affine = volume.world_from_voxel.detach().cpu().double().numpy()
    boxes = ndimage.find_objects(labels.astype(np.int32, copy=False), max(LEVEL_LABELS.values()))
    for level in levels:
        box = boxes[LEVEL_LABELS[level] - 1]
        if box is None or level == "S1":
            continue
        index = np.argwhere(labels[box] == LEVEL_LABELS[level]) + [s.start for s in box]
        index = index[:: max(len(index) // 4000, 1), ::-1]
        found[level] = index @ affine[:3, :3].T + affine[:3, 3]
    return found


def rigid_parts(spine: SpineCurve, volume: Volume) -> tuple[RigidPart, ...]:
    """The bones beyond the spine's ends: the pelvis and what lies below with the last level, the neck above with the first."""
    if volume.labels is None:
        return ()
    first, last = LEVELS.index(spine.levels[0]), LEVELS.index(spine.levels[-1])
    above = [LEVEL_LABELS[level] for level in LEVELS[:first]] + [STRUCTURE_LABELS[name] for name in ABOVE]
    # The sacrum hangs on its own endplate where that was read.
    below = [LEVEL_LABELS[level] for level in (*LEVELS[last + 1 :], "S1")] + [STRUCTURE_LABELS[name] for name in BELOW]
    steps = [max(int(MAP_MM / s), 1) for s in reversed(volume.spacing_mm)]
    coarse = volume.labels.detach().cpu().numpy()[:: steps[0], :: steps[1], :: steps[2]]
    world_from_map = volume.world_from_voxel.detach().cpu().double() @ torch.diag(
        torch.tensor([*map(float, reversed(steps)), 1.0], dtype=torch.float64)
    )
    rows = ((0, above), (len(spine.levels) - 1, below))
    parts = [_part(row, coarse, values, world_from_map) for row, values in rows]
    return tuple(part for part in parts if part is not None)


def _part(
    row: int, labels: Integer[ndarray, "z y x"], values: list[int], world_from_map: Float[Tensor, "4 4"]
) -> RigidPart | None:
    inside = np.isin(labels, values)
    if int(inside.sum()) < LEAST_VOXELS:
        return None
    spacing = world_from_map[:3, :3].norm(dim=0).numpy()[::-1]
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    return RigidPart(row, torch.from_numpy(np.asarray(distance)).float(), torch.linalg.inv(world_from_map).float())
