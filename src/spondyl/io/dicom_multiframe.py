"""Enhanced multi-frame CT: one file, many frames, each placed by its functional groups (PS3.3 C.7.6.16)."""

from pydicom import Dataset, Sequence

from spondyl.io.dicom_attributes import numbers, text, value_of, whole
from spondyl.io.dicom_files import DicomFile
from spondyl.io.dicom_slices import Slice, axes, checked_slope, spacing


def frame_slices(file: DicomFile) -> list[Slice]:
    """One Slice a frame, in the file's order.

    Raises:
        ValueError: for a multi-frame file without functional groups (its frames have no place), or with fewer of them
            than frames.
    """
    header = file.header
    count = whole(header, "NumberOfFrames", file.name)
    frames = _items(header, "PerFrameFunctionalGroupsSequence")
    if not frames:
        raise ValueError(f"{file.name} has {count} frames and no place for them; wanted enhanced CT or single slices")
    if len(frames) != count:
        raise ValueError(f"{file.name} has {count} frames and {len(frames)} places for them; export it again")
    shared = _items(header, "SharedFunctionalGroupsSequence") or [Dataset()]
    return [_slice(file, i, frame, shared[0]) for i, frame in enumerate(frames)]


def _slice(file: DicomFile, index: int, frame: Dataset, shared: Dataset) -> Slice:
    name = f"{file.name} frame {index + 1}"
    row, column = axes(
        numbers(_group(frame, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6, name), name
    )
    scale = _group(frame, shared, "PixelValueTransformationSequence")
    given = value_of(scale, "RescaleSlope") is not None and value_of(scale, "RescaleIntercept") is not None
    measures = _group(frame, shared, "PixelMeasuresSequence")
    return Slice(
        file=file,
        frame=index,
        position_mm=numbers(_group(frame, shared, "PlanePositionSequence"), "ImagePositionPatient", 3, name),
        row_axis=row,
        column_axis=column,
        spacing_mm=spacing(numbers(measures, "PixelSpacing", 2, name), name),
        shape_px=(whole(file.header, "Rows", file.name), whole(file.header, "Columns", file.name)),
        slope=checked_slope(float(numbers(scale, "RescaleSlope", 1, name)[0]), name) if given else 1.0,
        intercept=float(numbers(scale, "RescaleIntercept", 1, name)[0]) if given else 0.0,
        rescale_given=given,
        rescale_type=text(scale, "RescaleType"),
    )


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """The one item of a functional group: the frame's own, else the shared one, else nothing."""
    items = _items(frame, keyword) or _items(shared, keyword)
    return items[0] if items else Dataset()


def _items(item: Dataset, keyword: str) -> list[Dataset]:
    sequence = value_of(item, keyword)
    return list(sequence) if isinstance(sequence, Sequence) else []
