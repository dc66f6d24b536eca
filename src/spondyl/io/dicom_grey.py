"""The grey of a DICOM radiograph: stored values -> Modality LUT -> VOI LUT or window -> [0, 1], bone bright.

DICOM PS3.3 C.11.1 (Modality), C.11.2 (VOI), C.7.6.3.1.2 (Photometric Interpretation), PS3.4 N.2 (their order).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Shaped
from numpy import ndarray
from pydicom import Dataset

from spondyl.io.display import VOI_FUNCTIONS, VoiFunction, voi_curve


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers of an image and the range that they could take, whatever they do take."""

    array: Shaped[ndarray, "h w"]
    low: float
    high: float

    def unit(self) -> Float32[ndarray, "h w"]:
        """The numbers with their possible range as [0, 1]."""
        return np.clip((self.array - self.low) / (self.high - self.low), 0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Grey:
    """Grey in [0, 1], bone bright, with what the pipeline noticed."""

    grey: Float32[ndarray, "h w"]
    notes: tuple[str, ...]


def grey_of(ds: Dataset, stored: Shaped[ndarray, "h w"], *, display: bool) -> Grey:
    """The grey of one monochrome frame; see `read_radiograph` for what 0 and 1 stand for.

    Args:
        stored: the decoded numbers of `ds`, whole numbers with their sign.
        display: apply the file's Modality and VOI steps; otherwise the stored range alone.
    """
    plain = stored_range(ds, stored)
    notes: list[str] = []
    grey = plain.unit()
    if display:
        after_modality = modality(ds, plain)
        grey = after_modality.unit()
        shown, note = voi(ds, after_modality)
        notes += [note] if note else []
        if shown is not None and (float(np.ptp(shown)) > 0 or float(np.ptp(grey)) == 0):
            grey = shown
        elif shown is not None:
            notes.append(
                "The file's window shows nothing of the picture; the range of the stored bits is used instead."
            )
    dark, note = bone_is_dark(ds)
    notes += [note] if note else []
    grey = 1 - grey if dark else grey
    grey[padding(ds, stored)] = 0
    return Grey(grey, tuple(notes))


def stored_range(ds: Dataset, stored: Shaped[ndarray, "h w"]) -> Values:
    """The stored numbers and the range of Bits Stored, signed or not. Bits above it (old overlays) are cut off."""
    bits, signed = int(ds.BitsStored), int(ds.PixelRepresentation) == 1
    if signed:
        return Values(stored, -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    return Values(stored & np.array(2**bits - 1, stored.dtype), 0.0, 2.0**bits - 1)


def modality(ds: Dataset, values: Values) -> Values:
    """Values after the Modality LUT Sequence, or after Rescale Slope and Intercept, or as they came."""
    if ds.get("ModalityLUTSequence"):
        return apply_lut(ds.ModalityLUTSequence[0], values)
    slope, intercept = first_number(ds, "RescaleSlope") or 1.0, first_number(ds, "RescaleIntercept") or 0.0
    if (slope, intercept) == (1, 0):
        return values
    ends = (values.low * slope + intercept, values.high * slope + intercept)
    return Values(values.array * np.float64(slope) + intercept, min(ends), max(ends))


def voi(ds: Dataset, values: Values) -> tuple[Float32[ndarray, "h w"] | None, str]:
    """Grey through the first VOI LUT, else the first window, else None; and a sentence where the window was odd."""
    if ds.get("VOILUTSequence"):
        return apply_lut(ds.VOILUTSequence[0], values).unit(), ""
    centre, width = first_number(ds, "WindowCenter"), first_number(ds, "WindowWidth")
    if centre is None or width is None:
        return None, ""
    named = str(ds.get("VOILUTFunction") or "LINEAR")
    function: VoiFunction = next((known for known in VOI_FUNCTIONS if known == named), "LINEAR")
    note = "" if function == named else f"VOI LUT Function {named!r} is not known; LINEAR was used."
    if not (width >= 1 if function == "LINEAR" else width > 0):
        return None, f"Window Width {width:g} is not possible; the range of the stored bits is used instead."
    numbers = torch.from_numpy(values.array.astype(np.float32))
    return voi_curve(numbers, function=function, centre=centre, width=width).numpy(), note


def apply_lut(item: Dataset, values: Values) -> Values:
    """Values through one LUT of DICOM; inputs beyond its table take its first or last entry (PS3.3 C.11.1.1)."""
    described = [int(n) for n in item.LUTDescriptor]
    if len(described) != 3:
        raise ValueError(f"a lookup table is described by {len(described)} numbers; wanted 3; the file is damaged")
    entries, first, bits = described
    entries = entries % 65536 or 65536  # 0 says 65536; more than 32767 turn negative where the VR is SS
    if first > 32767 and values.low < 0:  # written as US although the input is signed
        first -= 65536
    data = item.LUTData
    if isinstance(data, bytes):
        table = np.frombuffer(data, np.uint8 if len(data) == entries else "<u2")
    else:
        table = np.atleast_1d(np.asarray(data, dtype=np.int64))
    if not 1 <= bits <= 16 or len(table) < entries:
        raise ValueError(f"a lookup table of {entries} entries and {bits} bits holds {len(table)}; the file is damaged")
    index = np.clip(np.rint(values.array).astype(np.int64) - first, 0, entries - 1)
    return Values(table.astype(np.int64)[index], 0.0, 2.0**bits - 1)


def bone_is_dark(ds: Dataset) -> tuple[bool, str]:
    """Whether the numbers must be inverted so that bone is bright, and a sentence where the header is odd."""
    sign = str(ds.get("PixelIntensityRelationshipSign") or "")
    inverted = str(ds.PhotometricInterpretation) == "MONOCHROME1"
    # sign 1: low numbers, less beam, so bone is low; it is bright then only if low is shown white
    bone_shown_dark = sign in ("1", "-1") and (sign == "1") != inverted
    if not bone_shown_dark:
        return inverted, ""
    if str(ds.get("PresentationIntentType") or "") == "FOR PROCESSING":
        return (
            not inverted,
            "A For Processing image with dark bone; it was inverted by its Pixel Intensity Relationship Sign.",
        )
    return inverted, "By its Pixel Intensity Relationship Sign the file shows bone dark; it was left so: look at it."


def padding(ds: Dataset, stored: Shaped[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Pixels outside the picture (PS3.3 C.7.5.1.1.2)."""
    value = first_number(ds, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = first_number(ds, "PixelPaddingRangeLimit")
    ends = (value, value if limit is None else limit)
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def first_number(ds: Dataset, keyword: str) -> float | None:
    """The first value of a numeric attribute; None where it is absent, empty or not a finite number."""
    try:
        value = ds.get(keyword)
        if value is None or value == "":
            return None
        number = float(value[0] if hasattr(value, "__len__") and not isinstance(value, str | bytes) else value)
    except (TypeError, ValueError, IndexError, NotImplementedError):
        return None
    return number if np.isfinite(number) else None
