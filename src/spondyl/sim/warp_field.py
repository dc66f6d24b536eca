"""A warp on a voxel grid: exact beside the spine, linear between nodes that lie the wider the further from it.

World LPS, mm.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Volume
from spondyl.sim.warp import Warp

# Widest spacing of the nodes, and for each spacing after the first the distance from a vertebra, mm, within which its
# nodes are carried exactly. Straight lines in between are then within 0.3 mm of the warp at curves of 45 degrees.
NODES_MM = (12.0, 6.0, 3.0)
EXACT_WITHIN_MM = (50.0, 15.0)
VOXELS_EXACT_WITHIN_MM = 6.0
SLAB_VOXELS = 2_000_000


@dataclass(frozen=True, eq=False)
class Slab:
    """Some planes of the new grid and the voxel positions (x, y, z) of the old grid that they show."""

    planes: slice
    source: Float[Tensor, "z y x 3"]


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Nodes on every `steps`-th voxel (z, y, x) of the new grid.

    Args:
        field: world position the node came from (3, mm), distance to the nearest vertebra there, and its row.
    """

    steps: tuple[int, int, int]
    field: Float[Tensor, "5 z y x"]


def source_voxels(
    volume: Volume, warp: Warp, world_from_voxel: Float[Tensor, "4 4"], shape: tuple[int, int, int]
) -> Iterator[Slab]:
    """Where every voxel of a new grid came from in the old one, slab by slab.

    Args:
        volume: the old grid; only its place counts.
        world_from_voxel: of the new grid.
        shape: of the new grid (z, y, x).
    """
    device = volume.hu.device
    place = world_from_voxel.double().to(device)
    from_world = torch.linalg.inv(volume.world_from_voxel.double()).to(device)
    lattice = _lattice(warp, place, shape)
    _, ny, nx = shape
    step = lattice.steps[0]
    layers = max(SLAB_VOXELS // (step * ny * nx), 1)
    for first in range(0, lattice.field.shape[1] - 1, layers):
        last = min(first + layers, lattice.field.shape[1] - 1)
        fine = _upsampled(lattice.field[:, first : last + 1], lattice.steps)
        start = first * step
        stop = min(last * step + int(last == lattice.field.shape[1] - 1), shape[0])
        fine = fine[:, : stop - start, :ny, :nx]
        at = torch.nonzero(_inexact(fine, VOXELS_EXACT_WITHIN_MM))
        world = fine[:3].permute(1, 2, 3, 0).contiguous()
        if max(lattice.steps) > 1:
            world[tuple(at.T)] = _came_from(warp, place, at + at.new_tensor([start, 0, 0]))
        yield Slab(
            slice(start, stop), transform_points(from_world, world.reshape(-1, 3).double()).float().reshape_as(world)
        )


def _lattice(warp: Warp, place: Float[Tensor, "4 4"], shape: tuple[int, int, int]) -> _Lattice:
    """The finest lattice, filled from coarse to fine."""
    spacing = place[:3, :3].norm(dim=0).flip(0).tolist()
    steps = [_powers_of_two(spacing, h) for h in NODES_MM]
    # Every finer lattice ends where the coarsest does, so halving needs no edge cases.
    cells = [-(-max(n - 1, 1) // step) for n, step in zip(shape, steps[0], strict=True)]
    axes = [torch.arange(n + 1, device=place.device) * step for n, step in zip(cells, steps[0], strict=True)]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    field = torch.cat([_came_from(warp, place, index).T, _nearest_vertebra(warp, place, index)])
    lattice = _Lattice(steps[0], field.reshape(5, *(n + 1 for n in cells)))
    for finer, within in zip(steps[1:], EXACT_WITHIN_MM, strict=True):
        if finer == lattice.steps:
            continue
        if finer == (1, 1, 1):  # large voxels: nodes on every second one are near enough to half a voxel
            within = min(within, EXACT_WITHIN_MM[-1])
        ratio = [a // b for a, b in zip(lattice.steps, finer, strict=True)]
        field = _upsampled(lattice.field, (ratio[0], ratio[1], ratio[2]))
        at = torch.nonzero(_inexact(field, within))
        index = at * at.new_tensor(finer)
        field[(slice(None), *at.T)] = torch.cat(
            [_came_from(warp, place, index).T, _nearest_vertebra(warp, place, index)]
        )
        lattice = _Lattice(finer, field)
    return lattice


def _powers_of_two(spacing_mm: list[float], about_mm: float) -> tuple[int, int, int]:
    # A tenth of an octave too wide is no matter; half the spacing would be four to eight times the nodes.
    z, y, x = (2 ** max(math.floor(math.log2(about_mm / s) + 0.1), 0) for s in spacing_mm)
    return (z, y, x)


def _upsampled(field: Float[Tensor, "5 z y x"], steps: tuple[int, int, int]) -> Float[Tensor, "5 zz yy xx"]:
    """Linear between nodes, `steps` new ones for each."""
    size = [(n - 1) * step + 1 for n, step in zip(field.shape[1:], steps, strict=True)]
    fine: Tensor = torch.nn.functional.interpolate(field[None], size, mode="trilinear", align_corners=True)
    return fine[0]


def _inexact(field: Float[Tensor, "5 z y x"], within_mm: float) -> Tensor:
    """Where the interpolated position is not good enough: near a vertebra, but not amid nodes of one body, which is rigid."""
    distance, row = field[3], field[4]
    in_one_body = (distance == 0) & ((row - row.round()).abs() < 1e-4)
    return (distance < within_mm) & ~in_one_body


def _came_from(warp: Warp, place: Float[Tensor, "4 4"], index: Tensor) -> Float[Tensor, "n 3"]:
    """World positions in the old body of voxels (z, y, x) of the new grid."""
    return warp.inverse(transform_points(place, index.flip(-1).double()).float())


def _nearest_vertebra(warp: Warp, place: Float[Tensor, "4 4"], index: Tensor) -> Float[Tensor, "2 n"]:
    """Distance to the nearest vertebra of the bent spine, and its row."""
    return warp.nearest(transform_points(place, index.flip(-1).double()).float())
