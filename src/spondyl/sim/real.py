"""A labelled CT as a Subject: its spine, the body without the table, and the skin where the scan shows all of it.

World LPS, mm.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Volume
from spondyl.measure.curve import curve_from_labels
from spondyl.pairs import Skin, Subject
from spondyl.spine import SpineCurve

# Halfway between air and fat: there a blurred scan shows the skin unmoved. Clothes and foam stay outside.
SKIN_HU = -550.0
FAT_HU = -100.0
AIR_HU = -1000.0
# A scan that nowhere falls below this shows no air: display grey, or a crop inside the body.
NO_AIR_ABOVE_HU = -500.0
# The surface is looked for on voxels of about this size, mm; finer ones only make more triangles.
COARSE_MM = 3.0
SMOOTH_VOXELS = 0.7
# Tables and wires are thinner than this, mm; what is opened away there and hangs on the body comes back by as much.
OPENING_MM = 6.0
# A body whose outline lies on the field's side faces over this share of the slices is cut [engineering].
CUT_SLICE_SHARE = 0.02
# Kept around the body when the table is taken away, mm: the skin's own blur.
MARGIN_MM = 3.0


@dataclass(frozen=True, eq=False)
class BodySurface:
    """Where a scanned body ends.

    Args:
        skin: closed mesh, with flat lids where the scan begins and ends along the body; None where it cannot be had.
        inside: voxels of the body and a small margin; all of them where the scan holds no air.
        notes: sentences for the user; why there is no skin.
    """

    skin: Skin | None
    inside: Bool[Tensor, "z y x"]
    notes: tuple[str, ...]


def subject_of(volume: Volume, spine: SpineCurve, *, keep_table: bool = False, allow_cut: bool = False) -> Subject:
    """A labelled CT with its measured spine as a Subject.

    Args:
        volume: the CT. Display grey instead of HU is allowed; then it gets no skin, and physics on it will be wrong.
        spine: as `measure.curve.curve_from_labels` reads it.
        keep_table: leave what lies outside the body (table, cushions, wires) instead of making it air.
        allow_cut: give a skin, with flat walls, also where the field cuts the body at its sides, front or back. Without
            it the skin is then None, and `body_surface` says so in words.
    """
    surface = body_surface(volume, allow_cut=allow_cut)
    if not keep_table:
        hu = torch.where(surface.inside, volume.hu, torch.full_like(volume.hu, AIR_HU))
        volume = replace(volume, hu=hu)
    return Subject(volume, spine, surface.skin)


def subject_from_labels(volume: Volume) -> Subject:
    """A labelled CT as a Subject, its spine read off the labels.

    Raises:
        ValueError: where the volume has no labels, no vertebra among them, or none that can be read.
    """
    return subject_of(volume, curve_from_labels(volume).spine)


def body_surface(volume: Volume, *, allow_cut: bool = False) -> BodySurface:
    """The body of a CT: the largest piece above SKIN_HU without thin things, lungs and bowel filled.

    Args:
        allow_cut: as in `subject_of`.
    """
    if float(volume.hu.min()) > NO_AIR_ABOVE_HU:
        everything = torch.ones_like(volume.hu, dtype=torch.bool)
        return BodySurface(
            None, everything, ("The scan shows no air (display grey, or a crop inside the body): no skin.",)
        )
    steps = [max(round(COARSE_MM / s), 1) for s in reversed(volume.spacing_mm)]
    coarse = _pooled(volume.hu, (steps[0], steps[1], steps[2]))
    spacing = np.array([s * step for s, step in zip(reversed(volume.spacing_mm), steps, strict=True)])
    upright = int(np.argmax(np.abs(volume.world_from_voxel[2, :3].double().cpu().numpy())))
    body = _body(coarse, spacing, axis=2 - upright)
    wide = ndimage.distance_transform_edt(~body, sampling=spacing) <= MARGIN_MM + spacing.max()
    inside = torch.from_numpy(np.asarray(wide)).to(volume.hu.device)
    for axis, (n, step) in enumerate(zip(volume.hu.shape, steps, strict=True)):
        inside = inside.repeat_interleave(step, dim=axis).narrow(axis, 0, n)
    cut = _cut_share(body, axis=2 - upright)
    notes: tuple[str, ...] = ()
    if cut > CUT_SLICE_SHARE:
        does = "flat walls close the skin there" if allow_cut else "no skin"
        notes = (f"The field of view cuts the body at its sides, front or back in {cut:.0%} of the slices: {does}.",)
    skin = None if notes and not allow_cut else _mesh(coarse, body, volume, steps)
    return BodySurface(skin, inside, notes)


def _pooled(hu: Float[Tensor, "z y x"], steps: tuple[int, int, int]) -> Float[ndarray, "zz yy xx"]:
    """Means over blocks of voxels; a block that hangs over the end repeats the last voxels."""
    pad = [(0, -n % step) for n, step in zip(hu.shape, steps, strict=True)]
    flat = [width for pair in reversed(pad) for width in pair]
    filled = torch.nn.functional.pad(hu[None, None].float(), flat, mode="replicate")
    return np.asarray(torch.nn.functional.avg_pool3d(filled, steps)[0, 0].cpu().numpy())


def _body(hu: Float[ndarray, "z y x"], spacing: Float[ndarray, "3"], axis: int) -> Bool[ndarray, "z y x"]:
    """The body's voxels, without holes across the body's axis."""
    dense = hu > SKIN_HU
    # Beyond the ends of the scan the body goes on: opening must not eat it there.
    around = np.pad(dense, 3, mode="edge")
    depth = ndimage.distance_transform_edt(around, sampling=spacing)
    core = depth > OPENING_MM / 2
    pieces, count = ndimage.label(core)
    if count == 0:
        return np.zeros_like(dense)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    near = ndimage.distance_transform_edt(~largest, sampling=spacing) <= OPENING_MM / 2 + spacing.max()
    body = (around & near)[3:-3, 3:-3, 3:-3]
    slices = [ndimage.binary_fill_holes(plane) for plane in np.moveaxis(body, axis, 0)]
    return np.moveaxis(np.stack(slices), 0, axis)


def _cut_share(body: Bool[ndarray, "z y x"], axis: int) -> float:
    """Share of the slices across the body in which it lies on the border of the field."""
    planes = np.moveaxis(body, axis, 0)
    border = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], axis=1)
    return float((border.sum(axis=1) > 1).mean())


def _mesh(hu: Float[ndarray, "z y x"], body: Bool[ndarray, "z y x"], volume: Volume, steps: list[int]) -> Skin | None:
    """The surface at SKIN_HU between the body's voxels and the air around them, faces outwards."""
    from skimage.measure import marching_cubes

    if not body.any():
        return None
    tissue = np.clip((hu - AIR_HU) / (FAT_HU - AIR_HU), 0, 1)
    # Lungs and bowel are body; what lies outside is not, whatever it is. The layer between keeps its own share of tissue.
    tissue[ndimage.binary_erosion(body, border_value=1)] = 1.0
    tissue[~ndimage.binary_dilation(body)] = 0.0
    smooth = np.pad(ndimage.gaussian_filter(tissue, SMOOTH_VOXELS, mode="nearest"), 1)
    vertices, faces, _, _ = marching_cubes(smooth, 0.5)  # type: ignore[no-untyped-call]
    index = (vertices - 1) * steps + (np.array(steps) - 1) / 2
    world = transform_points(volume.world_from_voxel.double().cpu(), torch.from_numpy(index[:, ::-1].copy()).double())
    triangles = torch.from_numpy(faces.astype(np.int64))
    if _signed_volume(world, triangles) < 0:
        triangles = triangles.flip(1)
    return Skin(world.float().to(volume.hu.device), triangles.to(volume.hu.device))


def _signed_volume(vertices: Float[Tensor, "n 3"], faces: Tensor) -> float:
    """Volume of a closed mesh, mm^3; positive where faces are counter-clockwise from outside."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float((a * torch.linalg.cross(b, c)).sum() / 6)
