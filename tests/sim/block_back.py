"""A back made of blocks for the ultrasound tests: flat skin, muscle, and bones whose place is known to the voxel."""

from collections.abc import Callable

import torch
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.pairs import Subject
from spondyl.spine import LEVEL_LABELS, SpineCurve

LEVELS = ("T8", "T9", "T10", "T11")
PITCH_MM, SKIN_MM = 26.0, 40.0


def spine(levels: tuple[str, ...] = LEVELS) -> SpineCurve:
    """Upright vertebrae 26 mm apart, the lowest one at z = 40 mm, bodies centred 12 mm in front of y = 0."""
    n = len(levels)
    z = 40.0 + PITCH_MM * torch.arange(n - 1, -1, -1, dtype=torch.float32)
    centres = torch.stack([torch.zeros(n), torch.full((n,), -12.0), z], dim=1)
    size = torch.tensor([30.0, 28.0, 20.0]).repeat(n, 1)
    return SpineCurve(levels, centres, torch.eye(3).repeat(n, 1, 1), size, torch.zeros(n, 2, 3, 3))


def block_back(
    *, spacing_mm: float = 2.0, skin: Callable[[Tensor, Tensor], Tensor] | None = None, bones: bool = True
) -> Subject:
    """Muscle behind which the skin lies at y = 40 mm (or where `skin(x, z)` says), with laminae 24 mm below it.

    Each level has a lamina (|x| < 16, y 6 to 16, 18 mm tall) and a spinous process (|x| < 3, y up to 28, 18 mm tall).
    """
    x, y, z = (torch.arange(a, b, spacing_mm) for a, b in ((-80.0, 80.0), (-60.0, 60.0), (0.0, 160.0)))
    zz, yy, xx = torch.meshgrid(z, y, x, indexing="ij")
    surface = torch.full_like(yy, SKIN_MM) if skin is None else skin(xx, zz)
    labels = torch.where(yy < surface, STRUCTURE_LABELS["muscle"], 0)
    hu = torch.where(yy < surface, 45.0, -1000.0)
    line = spine()
    for level, centre in zip(LEVELS, line.centres_mm, strict=True):
        near = (zz - centre[2]).abs() < 9
        lamina = (xx.abs() < 16) & (yy > 6) & (yy < 16)
        process = (xx.abs() < 3) & (yy >= 16) & (yy < 28)
        bone = near & (lamina | process)
        if bones:
            labels[bone], hu[bone] = LEVEL_LABELS[level], 700.0
    m = torch.eye(4)
    m[:3, :3] *= spacing_mm
    m[:3, 3] = torch.stack([x[0], y[0], z[0]])
    return Subject(Volume(hu, m, labels.to(torch.uint8)), line)


def add_bone(subject: Subject, where: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Subject:
    """The same back with more bone (a rib) where `where(x, y, z)` is true."""
    m, (nz, ny, nx) = subject.volume.world_from_voxel, subject.volume.hu.shape
    axes = [torch.arange(n) * m[k, k] + m[k, 3] for k, n in enumerate((nx, ny, nz))]
    zz, yy, xx = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    bone = where(xx, yy, zz)
    assert subject.volume.labels is not None
    labels = torch.where(bone, STRUCTURE_LABELS["rib"], subject.volume.labels.long()).to(torch.uint8)
    return Subject(Volume(torch.where(bone, 700.0, subject.volume.hu), m, labels), subject.spine)
