"""The back as a probe meets it: a lattice behind the spine with what the tissue scatters, absorbs and reflects.

Lattice axes: s is depth from the lattice's posterior face (along posterior to anterior), v runs from cranial to caudal,
u from the patient's left to the right, as a person behind the patient sees it. Tensors are stored [s, v, u].
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, Volume

Corner = tuple[float, float, float]

# Hounsfield units that tell tissues apart where no label does: air and lung, fat, muscle, bone.
AIR_HU, FAT_HU, MUSCLE_HU, BONE_HU = -350.0, -95.0, 45.0, 300.0
# Absorption of intensity, dB/cm/MHz (fat .5; muscle .6 along and 1.1 across its fibres).
FAT_DB_CM_MHZ, MUSCLE_DB_CM_MHZ = 0.5, 0.8
FAT_SCATTER_DB = -5.0  # echo level of fat against muscle (estimate)
# Echo level of other tissues against muscle, dB (estimates from the usual grey order: skin, muscle, fat, cartilage, blood).
SCATTER_DB = {"skin": 5.0, "cartilage": -8.0, "disc": -8.0, "organ": -3.0, "liver": -3.0, "heart": -20.0}
FASCIA_DB = 14.0  # a sheet between fat and muscle, over muscle (estimate)
SILENT_DB = -60.0  # water, gel, air
BODY_RUN_MM = 12.0  # a scanner's table is thinner than any body


@dataclass(frozen=True)
class Lattice:
    """A grid along the world's axes: world position of sample (0, 0, 0) as (x, y, z), steps and sizes as (s, v, u)."""

    first_mm: Corner
    step_mm: Corner
    shape: tuple[int, int, int]

    @classmethod
    def between(cls, first_mm: Corner, last_mm: Corner, step_mm: float) -> "Lattice":
        """From the patient's left, posterior, cranial corner to the opposite one, in steps of about `step_mm`."""
        extent = (first_mm[1] - last_mm[1], first_mm[2] - last_mm[2], first_mm[0] - last_mm[0])
        n = [max(2, round(e / step_mm) + 1) for e in extent]
        step = [e / (k - 1) for e, k in zip(extent, n, strict=True)]
        return cls(first_mm, (step[0], step[1], step[2]), (n[0], n[1], n[2]))

    def refined(self, rows: int, columns: int) -> "Lattice":
        """The same field with other numbers of rows and columns."""
        step_v = self.step_mm[1] * (self.shape[1] - 1) / (rows - 1)
        step_u = self.step_mm[2] * (self.shape[2] - 1) / (columns - 1)
        return Lattice(self.first_mm, (self.step_mm[0], step_v, step_u), (self.shape[0], rows, columns))

    def heights_mm(self, device: torch.device) -> Float[Tensor, "v"]:
        """World z of each row."""
        return self.first_mm[2] - self.step_mm[1] * torch.arange(self.shape[1], device=device)

    def columns_mm(self, device: torch.device) -> Float[Tensor, "u"]:
        """World x of each column."""
        return self.first_mm[0] - self.step_mm[2] * torch.arange(self.shape[2], device=device)


@dataclass(frozen=True, eq=False)
class Back:
    """What lies behind the spine, on one lattice.

    Args:
        skin_mm: depth of the skin, infinite where there is no body.
        bone, gas: share of each voxel that is bone, or gas inside the body, smoothed.
        scatter_db: echo level against muscle.
        loss_db: absorption on the way there and back.
    """

    lattice: Lattice
    skin_mm: Float[Tensor, "v u"]
    bone: Float[Tensor, "s v u"]
    gas: Float[Tensor, "s v u"]
    scatter_db: Float[Tensor, "s v u"]
    loss_db: Float[Tensor, "s v u"]


def back_of(volume: Volume, lattice: Lattice, *, frequency_mhz: float) -> Back:
    """The tissue of a CT on a lattice. Bones come from labels and from HU, everything else from HU where labels are silent."""
    hu, bone, scatter = resample(volume, lattice)
    step = lattice.step_mm[0]
    skin = skin_depth_mm(hu, step)
    depth = torch.arange(hu.shape[0], device=hu.device)[:, None, None] * step
    inside = depth > skin
    gas = ((AIR_HU + 150 - hu) / 300).clamp_(0, 1) * (depth > skin + 3)
    muscle = ((hu - FAT_HU) / (MUSCLE_HU - FAT_HU)).clamp_(0, 1)
    sheet = functional.pad(muscle.diff(dim=0), (0, 0, 0, 0, 1, 0)).clamp_(0, 1) * (bone < 0.05)
    scatter = scatter + FAT_SCATTER_DB * (1 - muscle) + FASCIA_DB * sheet
    scatter = torch.where(inside & (gas < 0.5), scatter, SILENT_DB)
    loss = FAT_DB_CM_MHZ + (MUSCLE_DB_CM_MHZ - FAT_DB_CM_MHZ) * muscle
    loss = torch.where(inside, loss * (2 * frequency_mhz * step / 10), 0.0).cumsum(0)
    return Back(lattice, skin, smooth(bone), gas, scatter, loss)


def skin_depth_mm(hu: Float[Tensor, "s v u"], step_mm: float) -> Float[Tensor, "v u"]:
    """Depth at which each ray enters the body: the first tissue with at least 12 mm of tissue behind it."""
    tissue = (hu > AIR_HU).to(torch.float32)
    run = max(1, round(BODY_RUN_MM / step_mm))
    behind = functional.pad(tissue, (0, 0, 0, 0, 0, run)).cumsum(0)
    share = (behind[run:] - behind[:-run]) / run
    enters = (tissue > 0) & (share > 0.75)
    first = enters.to(torch.uint8).argmax(0)
    here = hu.gather(0, first[None])[0]
    before = hu.gather(0, (first - 1).clamp(min=0)[None])[0]
    part = ((here - AIR_HU) / (here - before).clamp(min=1.0)).clamp(0, 1)
    return torch.where(enters.any(0), (first - part) * step_mm, math.inf)


def smooth(share: Float[Tensor, "s v u"], sigma: float = 0.6) -> Float[Tensor, "s v u"]:
    """A Gaussian over the voxels, so that a mask's surface has no stairs; sigma in voxels."""
    reach = math.ceil(2.5 * sigma)
    weights = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    for axis, size in enumerate(share.shape):
        out = share * (weights[0] / total)
        for k in range(1, min(reach + 1, size)):
            near, far = share.narrow(axis, 0, size - k), share.narrow(axis, k, size - k)
            out.narrow(axis, k, size - k).add_(near, alpha=weights[k] / total)
            out.narrow(axis, 0, size - k).add_(far, alpha=weights[k] / total)
        share = out
    return share


def resample(
    volume: Volume, lattice: Lattice
) -> tuple[Float[Tensor, "s v u"], Float[Tensor, "s v u"], Float[Tensor, "s v u"]]:
    """HU, share of bone and echo level of labelled tissue on a lattice; air outside of the scan."""
    device = volume.hu.device
    voxel_from_world = torch.linalg.inv(volume.world_from_voxel.double().cpu())
    axes = -voxel_from_world[:3, [1, 2, 0]] * torch.tensor(lattice.step_mm, dtype=torch.float64)
    start = voxel_from_world[:3, :3] @ torch.tensor(lattice.first_mm, dtype=torch.float64) + voxel_from_world[:3, 3]
    corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1], dtype=torch.float64) for n in lattice.shape))
    span = start + corners @ axes.T
    sizes = torch.tensor(list(reversed(volume.hu.shape)))
    low = torch.minimum((span.amin(0).floor().long() - 1).clamp(min=0), sizes - 2).clamp(min=0)
    high = torch.maximum(torch.minimum(span.amax(0).ceil().long() + 2, sizes), low + 1)
    crop = tuple(slice(int(low[k]), int(high[k])) for k in (2, 1, 0))
    channels = _channels(volume, crop)[None]
    unit = 2 / (high - low - 1).clamp(min=1).double()
    axes, start = axes * unit[:, None], (start - low) * unit - 1
    rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in lattice.shape[1:])
    plane = [float(start[k]) + float(axes[k, 1]) * rows[:, None] + float(axes[k, 2]) * columns for k in range(3)]
    out = torch.empty(3, *lattice.shape, device=device)
    for first in range(0, lattice.shape[0], 16):
        s = torch.arange(first, min(first + 16, lattice.shape[0]), device=device, dtype=torch.float32)
        grid = torch.stack([plane[k] + float(axes[k, 0]) * s[:, None, None] for k in range(3)], dim=-1)
        out[:, first : first + 16] = functional.grid_sample(channels, grid[None], align_corners=True)[0]
    return out[0] - 1000, out[1], out[2]


def _channels(volume: Volume, crop: tuple[slice, ...]) -> Float[Tensor, "c z y x"]:
    hu = volume.hu[crop].to(torch.float32)
    bone = hu > BONE_HU
    scatter = torch.zeros_like(hu)
    if volume.labels is not None:
        labels = volume.labels[crop].long()
        bone = bone | _table(labels, dict.fromkeys((*BONE_LABELS, STRUCTURE_LABELS["metal"]), 1.0)).bool()
        scatter = _table(labels, {STRUCTURE_LABELS[name]: db for name, db in SCATTER_DB.items()})
    return torch.stack([hu + 1000, bone.to(torch.float32), scatter])


def _table(labels: Integer[Tensor, "z y x"], values: dict[int, float]) -> Float[Tensor, "z y x"]:
    table = torch.zeros(256, device=labels.device)
    for label, value in values.items():
        table[label] = value
    return table[labels.clamp(0, 255)]
