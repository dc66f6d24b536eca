"""Front, back, up and down of an unlabelled trunk, from bone and lung in HU alone. Careful: silence where unsure."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

_STEP_MM = 4.0
# A larger volume is no person's: its unit is wrong, and its 4 mm grid would fill the memory.
_LARGEST_MM = 2500.0
_BODY_ABOVE_HU = -400.0
_BONE_ABOVE_HU = 200.0
# Bone counts within this depth under the skin, this near to the trunk's middle: at the back arches and bodies, at the
# front the sternum or nothing. Thin structures only (an opening of 20 mm is taken away), so that a heart full of contrast
# does not count as bone.
_SKIN_DEPTH_MM = 80.0
_MIDLINE_MM = 40.0
_MIN_WIDTH_MM = 150.0
# A slice votes where one side has twice the other's bone and 0.3 cm^2 more. Real: thorax with contrast 0.35 back, 0.00
# front; abdomen with pelvis 0.76 back, 0.09 front.
_VOTE_SHARE, _VOTE_LEAD = 0.25, 4.0
# Rib slope: the mean of 2 gy gz / (gy^2 + gz^2) over bone beside lung, -0.39 (CT) and -0.43 (label map) in two adults
# lying right; a random direction gives 0.
_RIB_SLOPE = 0.25
_MIN_RIB_VOXELS, _MIN_LUNG_CM3 = 800, 1000.0


@dataclass(frozen=True)
class _Votes:
    """Share of slices with more bone at the back (+y) or at the front (-y) of the trunk."""

    back: float
    front: float

    @property
    def side(self) -> int:
        """+1 spine at +y, -1 spine at -y, 0 not clear."""
        if self.back >= _VOTE_SHARE and self.back >= _VOTE_LEAD * self.front + 0.05:
            return 1
        if self.front >= _VOTE_SHARE and self.front >= _VOTE_LEAD * self.back + 0.05:
            return -1
        return 0


def body_warnings(hu: Float[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> tuple[str, ...]:
    """Warnings for a CT in HU without labels; nothing for other scales, narrow fields of view, or where it is not clear."""
    if float(hu.min()) > -500 or float(hu.max()) < _BONE_ABOVE_HU:
        return ()
    spacing_mm = np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    if float((spacing_mm * hu.shape[::-1]).max()) > _LARGEST_MM:
        return ()
    coarse = _in_world(hu, world_from_voxel)
    if min(coarse.shape) < 5:
        return ()
    body = _trunk(coarse)
    side = _bone_votes(coarse, body).side
    slope = _rib_slope(coarse, body)
    found = []
    if side < 0:
        found.append(
            "the spine lies at the front of the body: front and back are exchanged, so the volume is mirrored or turned "
            "about its long axis, and left and right cannot be trusted (fairly sure)"
        )
    if side and slope * side > _RIB_SLOPE:
        found.append("the ribs rise towards the front: the volume is upside down (fairly sure)")
    return tuple(found)


def _in_world(hu: Float[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "c b a"]:
    """The volume on a 4 mm grid along the world's own axes, air outside; its z, y and x are cranial, posterior, left."""
    spacing = np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    n = [max(1, int(_STEP_MM / 2 / s)) for s in spacing]
    hu = hu[:: n[2], :: n[1], :: n[0]]
    world_from_voxel = world_from_voxel @ np.diag([*n, 1.0])
    flip = np.eye(3)[::-1]
    linear, shift = flip @ world_from_voxel[:3, :3] @ flip, world_from_voxel[2::-1, 3]
    ends = np.array([[k * (n - 1) for k, n in zip(bits, hu.shape, strict=True)] for bits in np.ndindex(2, 2, 2)])
    corners = ends @ linear.T + shift
    low = corners.min(axis=0)
    size = [math.floor(s / _STEP_MM) + 1 for s in np.ptp(corners, axis=0)]
    spacing = np.linalg.norm(linear, axis=0)
    smooth = ndimage.gaussian_filter(hu, 0.3 * np.maximum(0.0, _STEP_MM / spacing - 1), truncate=3.0)
    inverse = np.linalg.inv(linear)
    return ndimage.affine_transform(
        smooth, inverse * _STEP_MM, inverse @ (low - shift), output_shape=tuple(size), order=1, cval=-1000.0
    )


def _trunk(coarse: Float[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """The largest connected body, with its lungs and bowels filled slice by slice; table and arms are cut off."""
    parts, count = ndimage.label(ndimage.binary_opening(coarse > _BODY_ABOVE_HU, iterations=2))
    if not count:
        return np.zeros(coarse.shape, dtype=bool)
    body = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def _bone_votes(coarse: Float[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]) -> _Votes:
    positive = np.clip(coarse, 0, 1000)
    thin = positive - ndimage.grey_opening(positive, size=(5, 5, 5))
    bone = np.clip((thin - 100) / 300, 0, 1) * (coarse > _BONE_ABOVE_HU) * ndimage.binary_erosion(body)
    votes = []
    half = int(_MIDLINE_MM / _STEP_MM)
    for k in range(len(coarse)):
        columns = np.nonzero(body[k].any(axis=0))[0]
        if len(columns) * _STEP_MM < _MIN_WIDTH_MM:
            continue
        middle = int(columns[0] + columns[-1]) // 2
        near = slice(max(0, middle - half), middle + half + 1)
        rows = np.nonzero(body[k][:, near].any(axis=1))[0]
        # a trunk cut at front or back by the field of view cannot tell the depth under its skin
        if len(rows) < 4 or rows[0] == 0 or rows[-1] == body.shape[1] - 1:
            continue
        depth = min(int(_SKIN_DEPTH_MM / _STEP_MM), len(rows) // 2)
        front = float(bone[k, rows[0] : rows[0] + depth, near].sum()) * _STEP_MM**2 / 100
        back = float(bone[k, rows[-1] - depth + 1 : rows[-1] + 1, near].sum()) * _STEP_MM**2 / 100
        votes.append((back > 2 * front + 0.3, front > 2 * back + 0.3))
    if len(votes) * _STEP_MM < 80:
        return _Votes(0.0, 0.0)
    share = np.mean(votes, axis=0)
    return _Votes(float(share[0]), float(share[1]))


def _rib_slope(coarse: Float[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]) -> float:
    """Direction of the ribs in side view: negative where they fall towards -y, 0 where there are no ribs to see."""
    lung = ndimage.binary_opening((coarse < -500) & (coarse > -960) & body, iterations=2)
    if float(lung.sum()) * _STEP_MM**3 / 1000 < _MIN_LUNG_CM3:
        return 0.0
    middle = float(np.nonzero(lung)[2].mean())
    aside = np.abs(np.arange(coarse.shape[2]) - middle) * _STEP_MM > 60
    ribs = (coarse > 150) & body & ndimage.binary_dilation(lung, iterations=4) & aside
    if int(ribs.sum()) < _MIN_RIB_VOXELS:
        return 0.0
    smooth = ndimage.gaussian_filter(np.clip(coarse, -100, 500) * body, 0.7)
    gz, gy = np.gradient(smooth, axis=0)[ribs], np.gradient(smooth, axis=1)[ribs]
    return float((2 * gy * gz).sum() / (gy**2 + gz**2).sum())
