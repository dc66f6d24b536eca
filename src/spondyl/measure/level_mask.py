"""The voxels of one label, cut out of a label map, and their occupancy on a grid laid in any direction through the world.

Everything downstream sees occupancy at world points only, so the scan's own grid (oblique, sheared, mirrored,
anisotropic) does not matter. World LPS, mm, float64.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy import ndimage

# A piece below this share of its label's voxels is taken for a stray and dropped [engineering choice].
STRAY_SHARE = 0.02
# Voxels finer than half of this are averaged into blocks: no plane gains from them, and time goes with their number.
FINE_MM = 0.8
# A surface nearer to the field's outer face than this many voxels is the cut, not the bone [engineering choice].
CUT_VOXELS = 0.6


@dataclass(frozen=True, eq=False)
class Frame:
    """An orthonormal frame: its origin, and its left, posterior and cranial axis as rows."""

    centre_mm: Float[ndarray, "3"]
    axes: Float[ndarray, "3 3"]

    def to_world(self, local_mm: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """World position of points given in the frame."""
        return np.asarray(local_mm @ self.axes + self.centre_mm)

    def ellipse_to_world(self, ellipse_mm: Float[ndarray, "3 3"]) -> Float[ndarray, "3 3"]:
        """An ellipse's centre (a point) and its two half-axes (vectors) in the world."""
        world = ellipse_mm @ self.axes
        world[0] += self.centre_mm
        return np.asarray(world)

    def to_local(self, world_mm: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """Position in the frame of points given in the world."""
        return np.asarray((world_mm - self.centre_mm) @ self.axes.T)


def frame_along(centre_mm: Float[ndarray, "3"], cranial: Float[ndarray, "3"], posterior: Float[ndarray, "3"]) -> Frame:
    """The frame with this cranial axis, whose posterior axis lies as near to `posterior` as it can."""
    up = cranial / np.linalg.norm(cranial)
    back = posterior - (posterior @ up) * up
    back /= np.linalg.norm(back)
    return Frame(centre_mm, np.stack([np.cross(back, up), back, up]))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Sample positions along the left, posterior and cranial axis of a frame, mm."""

    left_mm: Float[ndarray, "l"]
    posterior_mm: Float[ndarray, "p"]
    cranial_mm: Float[ndarray, "c"]


def lattice(low_mm: Float[ndarray, "3"], high_mm: Float[ndarray, "3"], step_mm: tuple[float, float, float]) -> Lattice:
    """Samples from low to high, a step apart (left, posterior, cranial)."""
    left, posterior, cranial = (
        np.arange(np.floor(a / s), np.ceil(b / s) + 1) * s for a, b, s in zip(low_mm, high_mm, step_mm, strict=True)
    )
    return Lattice(left, posterior, cranial)


@dataclass(frozen=True, eq=False)
class LevelMask:
    """One label's voxels.

    Args:
        inside: occupancy in [0, 1] of the box around them, at least one empty voxel on every side, [z, y, x].
        world_from_box: maps box positions (x, y, z) to the world.
        field_low, field_high: outer faces of the whole scan in box positions (x, y, z).
        voxels: their number, strays left out.
        stray_share: share of the label's voxels that was dropped as strays.
        pieces: number of pieces that stayed.
    """

    inside: Float[ndarray, "z y x"]
    world_from_box: Float[ndarray, "4 4"]
    field_low: Float[ndarray, "3"]
    field_high: Float[ndarray, "3"]
    voxels: int
    stray_share: float
    pieces: int

    @property
    def voxel_mm(self) -> float:
        """The longest edge of a voxel, mm."""
        return float(np.linalg.norm(self.world_from_box[:3, :3], axis=0).max())

    @cached_property
    def points_mm(self) -> Float[ndarray, "n 3"]:
        """World positions of the voxel centres."""
        return np.asarray(self._index() @ self.world_from_box[:3, :3].T + self.world_from_box[:3, 3])

    def _index(self) -> Float[ndarray, "n 3"]:
        z, y, x = np.nonzero(self.inside >= 0.5)
        return np.stack([x, y, z], axis=-1).astype(np.float64)

    def thickness_mm(self, direction: Float[ndarray, "3"]) -> float:
        """The longest edge of a voxel along a direction: how coarsely a surface across it is sampled."""
        return float(np.abs(direction @ self.world_from_box[:3, :3]).max())

    def thickest_mm(self) -> Float[ndarray, "3"]:
        """World position of the middle of the label's thickest part: the body, for arches and processes are thin."""
        spacing = np.linalg.norm(self.world_from_box[:3, :3], axis=0)[::-1]
        depth = ndimage.distance_transform_edt(self.inside >= 0.5, sampling=spacing)
        index = np.argwhere(depth >= 0.8 * depth.max()).mean(axis=0)[::-1]
        return np.asarray(self.world_from_box[:3, :3] @ index + self.world_from_box[:3, 3])

    def sample(self, frame: Frame, at: Lattice) -> Float[ndarray, "c p l"]:
        """Occupancy in [0, 1], linear between voxel centres, at the lattice laid in the frame."""
        box_from_world = np.linalg.inv(self.world_from_box)
        steps = [np.diff(a[:2])[0] if len(a) > 1 else 1.0 for a in (at.cranial_mm, at.posterior_mm, at.left_mm)]
        # Rows of frame.axes are left, posterior, cranial; output order is cranial, posterior, left; input z, y, x.
        columns = box_from_world[:3, :3] @ frame.axes[::-1].T * np.array(steps)
        start = frame.to_world(np.array([at.left_mm[0], at.posterior_mm[0], at.cranial_mm[0]]))
        offset = box_from_world[:3, :3] @ start + box_from_world[:3, 3]
        shape = (len(at.cranial_mm), len(at.posterior_mm), len(at.left_mm))
        sampled = ndimage.affine_transform(
            self.inside, columns[::-1], offset[::-1], output_shape=shape, order=1, mode="constant", output=np.float32
        )
        return np.asarray(sampled)

    def beyond_field(self, world_mm: Float[ndarray, "*n 3"], margin_voxels: float = 0.0) -> Bool[ndarray, "*n"]:
        """Whether points lie outside the scan, or nearer than a margin to its outer face."""
        box_from_world = np.linalg.inv(self.world_from_box)
        p = world_mm @ box_from_world[:3, :3].T + box_from_world[:3, 3]
        near = (p < self.field_low + margin_voxels) | (p > self.field_high - margin_voxels)
        return np.asarray(near.any(axis=-1))

    def at_field_edge(self, world_mm: Float[ndarray, "*n 3"]) -> Bool[ndarray, "*n"]:
        """Whether surface points lie on the outer face of the scan, so that the bone goes on beyond it."""
        return self.beyond_field(world_mm, CUT_VOXELS)

    def touches_field_edge(self) -> bool:
        """Whether any voxel is one of the scan's outermost."""
        p = self._index()
        return bool(((p < self.field_low + 0.75) | (p > self.field_high - 0.75)).any())


def level_masks(
    labels: Integer[ndarray, "z y x"], world_from_voxel: Float[ndarray, "4 4"], values: tuple[int, ...]
) -> dict[int, LevelMask]:
    """The masks of those label values that occur in the map."""
    boxes = ndimage.find_objects(np.where(labels > 0, labels, 0) if labels.min() < 0 else labels, max(values))
    found = {}
    for value in values:
        box = boxes[value - 1]
        if box is not None:
            found[value] = _cut_out(labels, box, value, world_from_voxel)
    return found


def _cut_out(
    labels: Integer[ndarray, "z y x"],
    box: tuple[slice, ...],
    value: int,
    world_from_voxel: Float[ndarray, "4 4"],
) -> LevelMask:
    own = np.pad(labels[box] == value, 1)
    pieces, count = ndimage.label(own, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    keep = np.flatnonzero(sizes >= STRAY_SHARE * sizes.sum()) + 1
    kept = np.isin(pieces, keep) if len(keep) < count else own
    # Unlabelled cavities inside a body (basivertebral vein, cement) would end a column half-way.
    filled = ndimage.binary_fill_holes(kept)
    start = np.array([s.start - 1 for s in reversed(box)], dtype=np.float64)
    factor = np.maximum(1, FINE_MM // np.linalg.norm(world_from_voxel[:3, :3], axis=0)).astype(int)
    # Block (i, j, k) has its middle at start + factor * i + (factor - 1) / 2 of the scan's grid.
    first = start + (factor - 1) / 2
    world_from_box = world_from_voxel.copy()
    world_from_box[:3, :3] = world_from_voxel[:3, :3] * factor
    world_from_box[:3, 3] = world_from_voxel[:3, :3] @ first + world_from_voxel[:3, 3]
    size = np.array(labels.shape[::-1], dtype=np.float64)
    return LevelMask(
        inside=_block_means(filled, factor[::-1]),
        world_from_box=world_from_box,
        field_low=(-0.5 - first) / factor,
        field_high=(size - 0.5 - first) / factor,
        voxels=int(sizes[keep - 1].sum()),
        stray_share=float(1 - sizes[keep - 1].sum() / sizes.sum()),
        pieces=len(keep),
    )


def _block_means(mask: Bool[ndarray, "z y x"], factor: Integer[ndarray, "3"]) -> Float[ndarray, "Z Y X"]:
    """The mean of every block of factor[0] x factor[1] x factor[2] voxels, with an empty layer all round."""
    shape = [-(-n // f) + 1 for n, f in zip(mask.shape, factor, strict=True)]
    padded = np.zeros([n * f for n, f in zip(shape, factor, strict=True)], dtype=np.float32)
    padded[: mask.shape[0], : mask.shape[1], : mask.shape[2]] = mask
    (z, y, x), (a, b, c) = shape, factor
    return np.asarray(padded.reshape(z, a, y, b, x, c).mean(axis=(1, 3, 5)))
