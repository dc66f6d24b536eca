"""Whether a file's numbers can be Hounsfield units, and what was done about those that cannot."""

import numpy as np
from jaxtyping import Float, Shaped

AIR_HU = -1000.0

# Below this a value is a scanner's mark for "not measured" (-2000, -3024, -8192, -32768 are in use), not air. Sharp
# kernels undershoot air: down to -1290 HU in a VerSe scan, so the line lies clear below that.
PADDING_BELOW_HU = -1500.0


def to_hounsfield(values: Shaped[np.ndarray, "z y x"]) -> tuple[Float[np.ndarray, "z y x"], tuple[str, ...]]:
    """The numbers as float32 HU with padding and NaN set to air, and sentences about what was odd.

    `values` is changed in place where it is float32 already. Numbers that cannot be HU (an 8-bit picture, a normalised
    volume, a label map) are kept as they are and said loudly: there is no way back from them.
    """
    hu = np.require(values, np.float32, ["C", "W"])
    notes: list[str] = []
    unmeasured = ~np.isfinite(hu)
    if count := int(unmeasured.sum()):
        hu[unmeasured] = AIR_HU
        notes.append(f"{count} voxels are NaN or infinite; set to {AIR_HU:.0f} HU")
    padded = hu < PADDING_BELOW_HU
    if count := int(padded.sum()):
        lowest = float(hu.min())
        hu[padded] = AIR_HU
        notes.append(
            f"{count} voxels ({100 * count / hu.size:.1f} %) lie below {PADDING_BELOW_HU:.0f} HU (down to {lowest:.0f}): "
            f"padding, set to {AIR_HU:.0f} HU"
        )
    return hu, (*notes, *_range_notes(hu))


def _range_notes(hu: Float[np.ndarray, "z y x"]) -> tuple[str, ...]:
    low, high = float(hu.min()), float(hu.max())
    if low == high:
        return (f"every voxel is {low:g}: nothing to see in this volume",)
    if high - low <= 2.0:
        return (f"not Hounsfield units: grey values {low:g}..{high:g}, a normalised volume; physics will be wrong",)
    if low >= 0 and high <= 255:
        if _looks_like_labels(hu):
            return (f"not Hounsfield units: whole numbers {low:g}..{high:g}, this looks like a label map, not a CT",)
        return (f"not Hounsfield units: grey values {low:g}..{high:g}, physics will be wrong",)
    if low >= 0:
        return (f"no value lies below 0 (they run {low:g}..{high:g}): an offset of about -1024 seems missing",)
    return ()


def _looks_like_labels(hu: Float[np.ndarray, "z y x"]) -> bool:
    """Whole numbers, half of them 0, and neighbours mostly equal: tissue never is."""
    if not bool((hu == np.round(hu)).all()) or float((hu == 0).mean()) < 0.5:
        return False
    inside = hu[:, :, :-1][hu[:, :, :-1] > 0]
    following = hu[:, :, 1:][hu[:, :, :-1] > 0]
    return inside.size > 0 and float((inside == following).mean()) > 0.6
