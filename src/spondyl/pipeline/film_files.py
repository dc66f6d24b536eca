"""What is written of one film that was read: corners.json, overlay.png, thumbnail.png, report.html, and angles.json last."""

import json
import math
from pathlib import Path

import torch

from spondyl import __version__
from spondyl.drawing import AngleMark, Canvas, letters, overlay, scale
from spondyl.geometry import View
from spondyl.pipeline.film_reading import FilmReading
from spondyl.report.film_overlay import Drawn, overlay_png
from spondyl.report.film_page import film_html
from spondyl.report.film_record import FilmAngle, film_json
from spondyl.report.page import Film as PageFilm
from spondyl.report.pictures import eight_bit, png_bytes
from spondyl.report.record import DISCLAIMER
from spondyl.spine import Corners

ANGLES, CORNERS, OVERLAY, THUMBNAIL, PAGE = "angles.json", "corners.json", "overlay.png", "thumbnail.png", "report.html"
LAST = (ANGLES,)  # where it lies, all the rest of the film does
FILES = (ANGLES, CORNERS, OVERLAY, PAGE, THUMBNAIL)
PAGE_ROWS_PX, OVERLAY_ROWS_PX, THUMBNAIL_ROWS_PX = 1400, 1200, 260
PAGE_HEIGHT = 400.0  # of the drawing, where no spacing gives millimetres
BAR_MM = 50.0


def write_film(folder: Path, reading: FilmReading) -> None:
    """All files of a film; a refused one has no corners, no overlay and no report."""
    (folder / ANGLES).write_text(film_json(reading.record), encoding="utf-8")
    (folder / THUMBNAIL).write_bytes(_drawn_png(reading, THUMBNAIL_ROWS_PX, names=False))
    if reading.corners is None:
        return
    (folder / CORNERS).write_text(corners_json(reading), encoding="utf-8")
    (folder / OVERLAY).write_bytes(overlay_of(reading))
    (folder / PAGE).write_text(film_html(reading.record, page_film(reading)), encoding="utf-8")


def corners_json(reading: FilmReading) -> str:
    """Every vertebra with its corners and their SDs, (v, u) in the film's pixels; null for what was not seen."""
    found = reading.corners
    rows: list[dict[str, object]] = []
    for i, level in enumerate(() if found is None else found.levels):
        if found is None:
            break
        spread = None if found.spread_px is None else _points(found.spread_px[i])
        rows.append(
            {
                "level": level,
                "score": round(reading.scores[i], 4),
                "confidence": round(float(found.confidence[i]), 4),
                "corners_px": _points(found.corners_px[i]),
                "spread_px": spread,
            }
        )
    body = {
        "schema": 1,
        "spondyl": __version__,
        "disclaimer": DISCLAIMER,
        "file": reading.record.file,
        "sha256": reading.record.sha256,
        "shape_px": list(reading.record.shape_px),
        "pixel": list(reading.pixel),
        "order": ["superior low-u", "superior high-u", "inferior low-u", "inferior high-u"],
        "vertebrae": rows,
    }
    return json.dumps(body, indent=2, allow_nan=False) + "\n"


def overlay_of(reading: FilmReading) -> bytes:
    """overlay.png: the film with endplates, level names and angles; without lines where it was refused."""
    return _drawn_png(reading, OVERLAY_ROWS_PX, names=True)


def page_film(reading: FilmReading) -> PageFilm:
    """The film for the page, with its endplates, levels and angles."""
    canvas, in_mm = _canvas(reading)
    sheet = canvas.sheet
    marks = [_mark(angle) for angle in drawn_angles(reading)]
    sides = {"R": ("L", "R"), "L": ("R", "L"), "A": ("P", "A"), "P": ("A", "P")}
    along = reading.film.patient_orientation[0][:1]
    furniture = letters(sheet, sides[along]) if along in sides else ""
    if in_mm:
        plane = "at the patient" if reading.record.spacing_kind == "patient" else "on the detector"
        furniture += scale(sheet, BAR_MM, plane)
    return PageFilm(
        name=reading.record.file,
        png=png_bytes(eight_bit(_sized(reading, PAGE_ROWS_PX, enlarge=False))),
        size_mm=(sheet.width_mm, sheet.height_mm),
        drawing="" if reading.corners is None else overlay(reading.corners, canvas, marks),
        furniture=furniture,
        caption="lateral" if reading.record.view == "lateral" else "PA or AP, as displayed",
    )


def drawn_angles(reading: FilmReading) -> tuple[FilmAngle, ...]:
    """What is drawn: curves from 10 degrees on and the main one; of a lateral the angles to read first."""
    angles = reading.record.angles
    return tuple(a for a in angles if a.main or (a.plane == "coronal" and a.angle_deg >= 10))


def _mark(angle: FilmAngle) -> AngleMark:
    text = (f"{angle.upper.split()[0]}–{angle.lower.split()[0]}", f"{angle.angle_deg:.1f}°")
    more = () if angle.low_deg is None or angle.high_deg is None else (f"{angle.low_deg:.0f} to {angle.high_deg:.0f}°",)
    return AngleMark(_end(angle.upper), _end(angle.lower), (*text, *more))


def _end(text: str) -> tuple[str, str]:
    level, which = text.split()
    return level, which


def _canvas(reading: FilmReading) -> tuple[Canvas, bool]:
    """The film as an area to draw on, and whether its unit is the millimetre."""
    h, w = reading.film.grey.shape
    dv, du = reading.pixel
    in_mm = reading.film.spacing_mm is not None and reading.record.spacing_kind != "unknown"
    unit = 1.0 if in_mm else PAGE_HEIGHT / (h * dv)
    spacing = (dv * unit, du * unit)
    # drawing asks a view for its rows and columns only
    return Canvas(View.around([0.0] * 3, shape_px=(h, w), pixel_spacing_mm=spacing, beam="parallel"), spacing), in_mm


def _sized(reading: FilmReading, rows: int, *, enlarge: bool) -> torch.Tensor:
    """Grey with square pixels, so many rows high (or fewer, where it has fewer and is not to be enlarged)."""
    h, w = reading.film.grey.shape
    tall = rows if enlarge else min(rows, h)
    wide = max(1, round(tall * w * reading.pixel[1] / (h * reading.pixel[0])))
    grey = reading.film.grey[None, None].float()
    mode = "area" if tall <= h and wide <= w else "bilinear"
    return torch.nn.functional.interpolate(grey, size=(tall, wide), mode=mode)[0, 0]


def _drawn_png(reading: FilmReading, rows: int, *, names: bool) -> bytes:
    picture = eight_bit(_sized(reading, rows, enlarge=True))
    if reading.corners is None:
        return png_bytes(picture)
    # Pillow's own font has no long dash
    marks = [
        Drawn(_end(a.upper), _end(a.lower), tuple(line.replace("–", "-") for line in _mark(a).text) if names else ())
        for a in drawn_angles(reading)
        if len(a.lower.split()) == 2
    ]
    return overlay_png(picture, _in_picture(reading, picture), marks, names=names)


def _in_picture(reading: FilmReading, picture: torch.Tensor) -> Corners:
    """The corners in the pixels of a picture of another size."""
    found = reading.corners
    if found is None:
        raise ValueError("a refused film has no corners to draw")
    ratio = torch.tensor([n / m for n, m in zip(picture.shape, reading.film.grey.shape, strict=True)])
    return Corners(found.levels, (found.corners_px + 0.5) * ratio - 0.5, found.confidence)


def _points(points: torch.Tensor) -> list[list[float] | None]:
    rows: list[list[float]] = points.double().tolist()
    return [[round(x, 3) for x in row] if all(math.isfinite(x) for x in row) else None for row in rows]
