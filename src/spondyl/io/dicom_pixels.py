"""Stored pixel values to HU: decompression, the modality rescale of each slice, padding."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from jaxtyping import Float, Integer
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, ImplicitVRLittleEndian

from spondyl.io.dicom_attributes import numbers, text, value_of
from spondyl.io.dicom_files import DicomFile
from spondyl.io.dicom_slices import Slice
from spondyl.io.hounsfield import AIR_HU

# A padding value that would be tissue is a wrong header (0 in a signed image without offset, for instance), not padding.
_TISSUE_HU = (-900.0, 3100.0)


def read_hu(slices: Sequence[Slice]) -> tuple[Float[np.ndarray, "z y x"], tuple[str, ...]]:
    """The slices' HU in the given order, float32, padding set to air, and notes. Each slice has its own slope and intercept.

    PS3.3 C.11.1 (Modality LUT): HU = slope * stored + intercept. PS3.3 C.7.5.1.1.2: Pixel Padding Value.

    Raises:
        ValueError: for truncated pixels, colour, a missing decoder.
    """
    hu = np.empty((len(slices), *slices[0].shape_px), dtype=np.float32)
    padded, odd_padding = 0, ""
    by_file: dict[int, list[int]] = {}
    for k, s in enumerate(slices):
        by_file.setdefault(id(s.file), []).append(k)
    for places in by_file.values():
        file = slices[places[0]].file
        stored = stored_pixels(file, [slices[k].frame for k in places])
        low, high = _padding(file.header)
        for k, plane in zip(places, stored, strict=True):
            s = slices[k]
            hu[k] = plane.astype(np.float32) * np.float32(s.slope) + np.float32(s.intercept)
            if low is None or high is None:
                continue
            edge_hu = sorted((low * s.slope + s.intercept, high * s.slope + s.intercept))
            if edge_hu[1] > _TISSUE_HU[0] and edge_hu[0] < _TISSUE_HU[1]:
                odd_padding = (
                    f"PixelPaddingValue {low} would be {edge_hu[0]:.0f} HU, which is tissue: not taken as padding"
                )
                continue
            mask = (plane >= low) & (plane <= high)
            hu[k][mask] = AIR_HU
            padded += int(mask.sum())
    notes = [odd_padding] if odd_padding else []
    if padded:
        share = 100 * padded / hu.size
        notes.append(f"{padded} voxels ({share:.1f} %) are marked as padding (not scanned); set to {AIR_HU:.0f} HU")
    return hu, (*notes, *_rescale_notes(slices))


def stored_pixels(file: DicomFile, frames: Sequence[int]) -> list[Integer[np.ndarray, "v u"]]:
    """The stored values of some frames, decompressed. Raises ValueError for truncated or unreadable pixels."""
    try:
        image = dcmread(BytesIO(file.content()), force=True)
        if "PixelData" not in image:
            raise ValueError("it has no pixels, the file is cut short")
        if text(image, "SamplesPerPixel") not in ("", "1"):
            raise ValueError("it is a colour image, not a CT slice")
        if not image_syntax(image):
            # files without a meta group are implicit little endian (PS3.5 section 10.1)
            image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return list(iter_pixels(image, indices=list(frames), raw=True))
    except Exception as error:  # decoders of many packages, each with exceptions of its own
        raise ValueError(f"pixels of {file.name} cannot be read: {_reason(file.header, error)}") from None


def image_syntax(image: Dataset) -> str:
    """The transfer syntax UID, empty where the file has no meta group."""
    return text(getattr(image, "file_meta", None) or Dataset(), "TransferSyntaxUID")


def _reason(header: Dataset, error: Exception) -> str:
    syntax = image_syntax(header)
    name = UID(syntax).name if syntax else "no transfer syntax"
    try:
        decoder = get_decoder(UID(syntax)) if syntax else None
        lacking = decoder is not None and not decoder.is_available
    except NotImplementedError:
        return f"their compression ({name}) is not known; convert the series to explicit little endian"
    if lacking:
        return f"no decoder for {name} is installed: pip install 'spondyl[dicom]', or convert to explicit little endian"
    lines = ["".join(c for c in line if c.isprintable()) for line in str(error).strip().splitlines()]
    return (lines[0].rstrip(".")[:140] if lines else type(error).__name__) + "; copy or export the series again"


def _padding(header: Dataset) -> tuple[int | None, int | None]:
    """Lowest and highest stored value that mean padding. The value's sign is the pixels', whatever its VR says."""
    try:
        first = int(numbers(header, "PixelPaddingValue", 1, "")[0])
    except ValueError:
        return None, None
    limit = value_of(header, "PixelPaddingRangeLimit")
    ends = [_signed(v, header) for v in (first, limit if isinstance(limit, int) else first)]
    return min(ends), max(ends)


def _signed(value: int, header: Dataset) -> int:
    span = 2 ** int(text(header, "BitsAllocated") or 16)
    if text(header, "PixelRepresentation") == "1":
        return value - span if value >= span // 2 else value
    return value + span if value < 0 else value


def _rescale_notes(slices: Sequence[Slice]) -> tuple[str, ...]:
    notes = []
    if missing := sum(not s.rescale_given for s in slices):
        notes.append(
            f"{missing} slices have no RescaleSlope and RescaleIntercept: their stored values were taken as HU"
        )
    if len({(s.slope, s.intercept) for s in slices}) > 1:
        notes.append("RescaleSlope or RescaleIntercept differ between slices; each was applied to its own slice")
    types = sorted({s.rescale_type for s in slices} - {"", "HU"})
    if types:
        notes.append(f"RescaleType is {', '.join(types)}, not HU: values may not be Hounsfield units")
    return tuple(notes)
