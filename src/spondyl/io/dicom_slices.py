"""Single images as slices in space, their order along the stack, and the affine of the whole.

PS3.3 C.7.6.2: Image Position is the centre of the first voxel, Image Orientation the directions of growing column and row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spondyl.io.dicom_attributes import numbers, value_of, whole
from spondyl.io.dicom_files import DicomFile

# Positions in DICOM are decimal text, often rounded to 0.1 mm: 0.05 mm off, and the fitted even stack adds some to that.
_JITTER_MM, _JITTER_SHARE = 0.075, 0.01
_SAME_PLACE_MM = 0.01
_SAME_AXIS = 1e-3
_TILT_DEG = 0.1


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a stack: which frame of which file, where it lies (LPS mm), and how stored values become HU."""

    file: DicomFile
    frame: int
    position_mm: Float[np.ndarray, "3"]
    row_axis: Float[np.ndarray, "3"]
    column_axis: Float[np.ndarray, "3"]
    spacing_mm: tuple[float, float]
    shape_px: tuple[int, int]
    slope: float
    intercept: float
    rescale_given: bool
    rescale_type: str

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit normal of the image, row axis x column axis."""
        return np.cross(self.row_axis, self.column_axis)


def single_slice(file: DicomFile) -> Slice:
    """The one image of a CT Image Storage object. Raises ValueError naming the attribute that is missing or wrong."""
    header = file.header
    row, column = axes(numbers(header, "ImageOrientationPatient", 6, file.name), file.name)
    given = value_of(header, "RescaleSlope") is not None and value_of(header, "RescaleIntercept") is not None
    return Slice(
        file=file,
        frame=0,
        position_mm=numbers(header, "ImagePositionPatient", 3, file.name),
        row_axis=row,
        column_axis=column,
        spacing_mm=spacing(numbers(header, "PixelSpacing", 2, file.name), file.name),
        shape_px=(whole(header, "Rows", file.name), whole(header, "Columns", file.name)),
        slope=checked_slope(float(numbers(header, "RescaleSlope", 1, file.name)[0]), file.name) if given else 1.0,
        intercept=float(numbers(header, "RescaleIntercept", 1, file.name)[0]) if given else 0.0,
        rescale_given=given,
        rescale_type=file.text("RescaleType"),
    )


def axes(six: Float[np.ndarray, "6"], name: str) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Unit row and column axes of Image Orientation. Raises ValueError where they are not two perpendicular directions."""
    row, column = six[:3], six[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1)) > 0.01 or abs(float(row @ column)) > 0.01:
        raise ValueError(f"{name} has ImageOrientationPatient {six.tolist()}; wanted two perpendicular unit vectors")
    return row / lengths[0], column / lengths[1]


def spacing(two: Float[np.ndarray, "2"], name: str) -> tuple[float, float]:
    """(v, u) pixel spacing in mm. Raises ValueError where one is not positive."""
    if not bool((two > 0).all()):
        raise ValueError(f"{name} has PixelSpacing {two.tolist()}; wanted two positive values in mm")
    return float(two[0]), float(two[1])


def checked_slope(slope: float, name: str) -> float:
    """The slope. Raises ValueError for 0, which would make one value of all."""
    if slope == 0:
        raise ValueError(f"{name} has RescaleSlope 0, which leaves no image; export the series again")
    return slope


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """Slices sorted by their place along the stack's normal; file names and instance numbers play no part."""
    normal = slices[0].normal
    return sorted(slices, key=lambda s: float(s.position_mm @ normal))


def repeated(ordered: Sequence[Slice]) -> list[list[Slice]]:
    """Groups of slices that share one place, in order; a group of one is the usual."""
    groups: list[list[Slice]] = [[ordered[0]]]
    for s in ordered[1:]:
        if np.linalg.norm(s.position_mm - groups[-1][0].position_mm) <= _SAME_PLACE_MM:
            groups[-1].append(s)
        else:
            groups.append([s])
    return groups


def stack_affine(ordered: Sequence[Slice]) -> tuple[Float[np.ndarray, "4 4"], tuple[str, ...]]:
    """world_from_voxel of slices in order, float64, and notes. A tilted gantry gives a sheared affine, exactly.

    Raises:
        ValueError: for slices that differ in grid or axes, that are missing (naming where), or unevenly spaced.
    """
    first = ordered[0]
    for s in ordered[1:]:
        if s.shape_px != first.shape_px or not np.allclose(s.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise ValueError(
                f"slices differ: {first.file.name} is {first.shape_px} pixels of {first.spacing_mm} mm, {s.file.name} "
                f"{s.shape_px} of {s.spacing_mm}; pass one reconstruction"
            )
        turned = max(np.abs(s.row_axis - first.row_axis).max(), np.abs(s.column_axis - first.column_axis).max())
        if turned > _SAME_AXIS:
            raise ValueError(f"{s.file.name} is turned against {first.file.name}; pass slices of one orientation")
    positions = np.stack([s.position_mm for s in ordered])
    along = positions @ first.normal
    _refuse_gaps(along)
    step, worst = _even_step(positions)
    typical = float(np.linalg.norm(step))
    if worst > max(_JITTER_MM, _JITTER_SHARE * typical) + 1e-6:
        gaps = np.diff(along)
        raise ValueError(
            f"slices are spaced unevenly ({gaps.min():.3g} to {gaps.max():.3g} mm, up to {worst:.2f} mm off an even stack); "
            "wanted one step: resample the series or pass another reconstruction"
        )
    notes = []
    if worst > _SAME_PLACE_MM:
        notes.append(f"slice positions jitter by up to {worst:.3f} mm; the even step of {typical:.4g} mm is used")
    tilt = float(np.degrees(np.arccos(min(1.0, abs(float(step @ first.normal)) / typical))))
    if tilt > _TILT_DEG:
        notes.append(f"the stack is sheared by {tilt:.1f} degrees (gantry tilt); kept exactly, in the affine")
    affine = np.eye(4)
    affine[:3, 0] = first.row_axis * first.spacing_mm[1]
    affine[:3, 1] = first.column_axis * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions.mean(axis=0) - step * (len(ordered) - 1) / 2
    return affine, tuple(notes)


def _even_step(positions: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """The step of the best even stack (least squares), and the largest distance of a position from it, mm."""
    k = np.arange(len(positions)) - (len(positions) - 1) / 2
    centred = positions - positions.mean(axis=0)
    step = (k[:, None] * centred).sum(axis=0) / (k**2).sum()
    return step, float(np.linalg.norm(centred - k[:, None] * step, axis=1).max())


def _refuse_gaps(along: Float[np.ndarray, "n"]) -> None:
    """Raises ValueError where some steps are whole multiples of the usual one: slices were lost."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    times = gaps / usual
    # rounded positions may be off by the jitter at both ends of a step
    slack = max(0.1, 2 * _JITTER_MM / usual)
    lost = np.round(times) >= 2
    if slack >= 0.5 or not lost.any() or np.abs(times - np.round(times)).max() > slack:
        return
    missing = [float(along[i] + usual * m) for i in np.nonzero(lost)[0] for m in range(1, round(float(times[i])))]
    where = ", ".join(f"{m:.1f}" for m in missing[:5]) + (" ..." if len(missing) > 5 else "")
    raise ValueError(
        f"{len(missing)} slices are missing in a stack of {len(along)} ({usual:.4g} mm apart), at {where} mm along it; "
        "copy the whole series"
    )
