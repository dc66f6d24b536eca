"""Films from PNG, JPEG and TIFF, where scale and orientation are mostly unknown."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from spondyl.io.film import VIEW_POSITIONS, Film, SpacingKind
from spondyl.io.film_orientation import image_orientation, projection
from spondyl.io.png import png_record
from spondyl.io.record import PictureRecord
from spondyl.io.source import Source

# A stitched full-spine film of 0.1 mm pixels has 17 million; far beyond that a file is a mistake or a trap.
MOST_PIXELS = 200_000_000
# A JPEG of a grey film keeps its three channels this close (levels of 255); markers in colour cover less than this share.
GREY_SPREAD, COLOURED_SHARE = 12 / 255, 0.01
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
TIFF_PHOTOMETRIC, TIFF_WHITE_IS_ZERO = 262, 0
EXIF_ORIENTATION = 274
MM_PER_INCH = 25.4


@dataclass(frozen=True)
class Scale:
    """What a picture file says about size and direction."""

    spacing_mm: tuple[float, float] | None
    kind: SpacingKind
    view_position: str
    patient_orientation: tuple[str, str]
    notes: tuple[str, ...]


def read_raster_film(path: Path, kind: str) -> tuple[Film, Source]:
    """The film and its source. Raises ValueError with a sentence that does not name the file (the caller does)."""
    data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that are checked here
            with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
                film, notes = _film(image)
    except UnidentifiedImageError:
        raise ValueError(f"the {kind.upper()} picture is damaged or of a rare kind; export it as 16-bit PNG") from None
    except ValueError:  # ours
        raise
    except Exception:  # Pillow fails on damaged files in many ways, KeyError and TypeError among them
        raise ValueError(
            f"the {kind.upper()} picture is damaged, cut short or far too large; export it again"
        ) from None
    return film, Source(path, kind, hashlib.sha256(data).hexdigest(), notes)


def _film(image: Image.Image) -> tuple[Film, tuple[str, ...]]:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"the file holds {frames} pictures; wanted one still radiograph; export a single one")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"the picture is {image.width} x {image.height} pixels, more than {MOST_PIXELS}; export it smaller"
        )
    record = png_record(image)
    scale = _written_scale(record) if record is not None else _print_scale(image)
    turned = image.getexif().get(EXIF_ORIENTATION, 1)
    mode = image.mode
    inverted = _white_is_zero(image)
    upright = ImageOps.exif_transpose(image)
    grey, bits = _grey(upright)
    if turned not in (0, 1):
        scale = _turned(scale)
    film = Film(
        grey=torch.from_numpy(1 - grey if inverted else grey),
        spacing_mm=scale.spacing_mm,
        spacing_kind=scale.kind,
        photometric=mode,
        view_position=scale.view_position,
        patient_orientation=scale.patient_orientation,
        bits=bits,
    )
    return film, scale.notes


def _grey(image: Image.Image) -> tuple[Float32[ndarray, "h w"], int]:
    """Grey in [0, 1] and the stored bits."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.float32) / 65535, 16
    if image.mode in ("L", "LA"):
        return np.asarray(image.getchannel(0)).astype(np.float32) / 255, 8
    if image.mode in ("RGB", "RGBA", "P", "YCbCr"):
        return grey_of_colour(np.asarray(image.convert("RGB")).astype(np.float32) / 255), 8
    raise ValueError(
        f"the picture's pixels are of mode {image.mode}; wanted 8- or 16-bit grey; export it as 16-bit PNG"
    )


def grey_of_colour(rgb: Float[ndarray, "h w 3"]) -> Float32[ndarray, "h w"]:
    """The luminance of a colour picture that is grey in fact. Raises ValueError for a colour photograph."""
    spread = rgb.max(axis=-1) - rgb.min(axis=-1)
    share = float((spread > GREY_SPREAD).mean())
    if share > COLOURED_SHARE:
        raise ValueError(
            f"the picture is in colour ({share:.0%} of its pixels); wanted a grey radiograph; if it is a tinted film, "
            "convert it to grey first"
        )
    return np.clip(rgb.astype(np.float32) @ np.array(LUMINANCE, np.float32), 0, 1)


def _white_is_zero(image: Image.Image) -> bool:
    # Pillow turns 8-bit pictures of this kind round by itself, 16-bit ones not
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return False
    return bool(image.tag_v2.get(TIFF_PHOTOMETRIC) == TIFF_WHITE_IS_ZERO)


def _written_scale(record: PictureRecord) -> Scale:
    position = projection(record.view).position
    return Scale(
        record.view.pixel_spacing_mm,
        "detector",
        position if position in VIEW_POSITIONS else "",
        image_orientation(record.view, columns_flipped=record.columns_flipped),
        ("The picture is synthetic: spondyl wrote it; its spacing is that of the simulated detector.",),
    )


def _print_scale(image: Image.Image) -> Scale:
    """Dots per inch are a printing hint: 72 and 96 are defaults of programs, so the length they give is not trusted."""
    dpi = image.info.get("dpi")
    unknown = Scale(None, "unknown", "", ("", ""), ("The file has no pixel spacing; lengths in mm are unknown.",))
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return unknown
    per_inch_u, per_inch_v = float(dpi[0]), float(dpi[1])
    if not (1 < per_inch_u < 1e5 and 1 < per_inch_v < 1e5):
        return unknown
    note = f"The file's {per_inch_u:.0f} dots per inch are a printing resolution; do not rely on lengths in mm."
    return Scale((MM_PER_INCH / per_inch_v, MM_PER_INCH / per_inch_u), "unknown", "", ("", ""), (note,))


def _turned(scale: Scale) -> Scale:
    note = "The picture was turned upright as its Exif orientation asks."
    swapped = None if scale.spacing_mm is None else (scale.spacing_mm[1], scale.spacing_mm[0])
    square = swapped == scale.spacing_mm
    return Scale(scale.spacing_mm if square else None, "unknown", "", ("", ""), (*scale.notes, note))
