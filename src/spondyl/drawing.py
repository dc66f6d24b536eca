"""Lines on a radiograph as SVG: endplates, level names, the construction of an angle, side letters, a scale bar.

Coordinates of the drawing are millimetres at a plane of the patient (`spacing_at_mm`), x along growing columns, y along
growing rows, origin at the outer corner of pixel (0, 0): pixel (v, u) has its centre at ((u + 0.5) du, (v + 0.5) dv).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.spine import Corners

Endplate = tuple[str, str]  # a level and "superior" or "inferior"


def spacing_at_mm(view: View, point_mm: Float[Tensor, "3"]) -> tuple[float, float]:
    """Pixel spacing (v, u) at the depth of a point: the detector's spacing over the magnification there.

    A cone magnifies both directions, a slot only columns, a parallel beam none. The same as Pixel Spacing of a calibrated
    projection radiograph (DICOM PS3.3 10.7), and the only spacing in which an angle of a slot's picture is right.
    """
    dv, du = view.pixel_spacing_mm
    magnification = float(view.magnification(point_mm[None].to(view.world_from_detector))[0])
    return (dv / magnification if view.beam == "cone" else dv, du / magnification)


@dataclass(frozen=True)
class Sheet:
    """An area in mm to draw on."""

    width_mm: float
    height_mm: float

    @property
    def letter_mm(self) -> float:
        """Height of small text; on a narrow strip the width decides."""
        return min(max(0.028 * self.width_mm, 0.017 * self.height_mm), 0.045 * self.width_mm)

    def holds(self, x: float, y: float, margin: float) -> bool:
        """Whether a point lies inside, at least `margin` mm from the border."""
        return margin <= x <= self.width_mm - margin and margin <= y <= self.height_mm - margin


@dataclass(frozen=True)
class Canvas:
    """A view's pixels as an area in mm: what is drawn on.

    Args:
        view: the exposure.
        spacing_mm: (v, u), see `spacing_at_mm`.
    """

    view: View
    spacing_mm: tuple[float, float]

    @property
    def sheet(self) -> Sheet:
        """The area of all rows and columns."""
        (h, w), (dv, du) = self.view.shape_px, self.spacing_mm
        return Sheet(w * du, h * dv)


@dataclass(frozen=True)
class AngleMark:
    """An angle to construct between the endplate `upper` and the endplate `lower`, with the lines of text to write at it."""

    upper: Endplate
    lower: Endplate
    text: tuple[str, ...]


def overlay(corners: Corners, canvas: Canvas, marks: Sequence[AngleMark]) -> str:
    """Everything drawn from corners: all endplates, all level names, then the angles on top.

    An endplate with a corner that is not visible (NaN) is left out, and with it the angle that needs it.
    """
    plates = _points_mm(corners, canvas)
    lines = [path(plate, "endplate") for level in plates for plate in level if _seen(plate)]
    names = [_level_name(corners.levels[i], plates[i], canvas.sheet) for i in range(len(corners.levels))]
    drawn = [_angle(mark, corners.levels, plates, canvas.sheet) for mark in marks]
    return "".join(
        (
            f'<g class="endplates">{"".join(lines)}</g>',
            f'<g class="levels">{"".join(names)}</g>',
            f'<g class="angles">{"".join(drawn)}</g>',
        )
    )


def side_letters(view: View) -> tuple[str, str]:
    """The patient's directions towards the left and the right edge of the picture: L, R, A, P, in pairs where oblique.

    As Patient Orientation of DICOM (PS3.3 C.7.6.1.1.1), from the view's own column axis.
    """
    x, y, _ = view.world_from_detector[:3, 0].tolist()
    along = sorted([(abs(x), "L" if x > 0 else "R"), (abs(y), "P" if y > 0 else "A")], reverse=True)
    # a direction that is less than 15 degrees off the other axis is not worth a letter
    right = "".join(letter for size, letter in along if size > math.sin(math.radians(15)))
    opposite = {"L": "R", "R": "L", "A": "P", "P": "A"}
    return "".join(opposite[c] for c in right), right


def seen_from(view: View) -> str:
    """Where the eye stands, in words: "seen from behind", "patient faces right", or the direction of the source."""
    x, y, _ = view.world_from_detector[:3, 2].tolist()
    angle = math.degrees(math.atan2(x, -y)) % 360
    named = {0: "seen from behind", 90: "patient faces right", 180: "seen from in front", 270: "patient faces left"}
    for at, words in named.items():
        if abs((angle - at + 180) % 360 - 180) < 5:
            return words
    return f"source {angle:.0f}° from behind, towards the patient's right"


def furniture(canvas: Canvas, plane: str) -> str:
    """The side letters at the top corners, and a scale bar at the bottom with the plane at which it holds."""
    sheet = canvas.sheet
    return letters(sheet, side_letters(canvas.view)) + scale(sheet, 50.0 if sheet.width_mm > 120 else 10.0, plane)


def letters(sheet: Sheet, sides: tuple[str, str]) -> str:
    """The patient's sides in the top corners."""
    size, pad = sheet.letter_mm * 1.9, sheet.letter_mm
    left, right = sides
    return (
        f'<g class="sides">{_text(left, pad, pad + size * 0.8, size, "start")}'
        f"{_text(right, sheet.width_mm - pad, pad + size * 0.8, size, 'end')}</g>"
    )


def scale(sheet: Sheet, bar_mm: float, plane: str) -> str:
    """A scale bar in the lower left corner, with the words for where it holds."""
    pad = sheet.letter_mm
    y = sheet.height_mm - pad
    return (
        f'<g class="scale"><path d="M{pad:.1f} {y:.1f}h{bar_mm:.0f}"/>'
        f"{_text(f'{bar_mm:.0f} mm, {plane}', pad, y - 0.6 * pad, sheet.letter_mm * 0.8, 'start')}</g>"
    )


def dots(sheet: Sheet, points: Float[Tensor, "n 2"], names: Sequence[str]) -> str:
    """Rings at points (x, y), each with its name on the side of the nearer border; an empty name writes nothing."""
    r = 0.45 * sheet.letter_mm
    drawn = []
    for (x, y), name in zip(points.tolist(), names, strict=True):
        side = -1.0 if x < 0.48 * sheet.width_mm else 1.0
        drawn.append(f'<circle class="dot" cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}"/>')
        if name:
            anchor = "start" if side > 0 else "end"
            drawn.append(_text(name, x + side * 1.8 * r, y + 0.7 * r, 0.85 * sheet.letter_mm, anchor))
    return "".join(drawn)


def path(points: Float[Tensor, "n 2"], kind: str) -> str:
    """A polyline through points (x, y)."""
    return f'<path class="{kind}" d="M{"L".join(f"{x:.2f} {y:.2f}" for x, y in points.tolist())}"/>'


def _points_mm(corners: Corners, canvas: Canvas) -> Float[Tensor, "l 2 2 2"]:
    dv, du = canvas.spacing_mm
    v, u = corners.corners_px.double().cpu().unbind(-1)
    return torch.stack([(u + 0.5) * du, (v + 0.5) * dv], dim=-1).reshape(-1, 2, 2, 2)


def _seen(plate: Float[Tensor, "2 2"]) -> bool:
    return bool(torch.isfinite(plate).all())


def _text(text: str, x: float, y: float, size: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _level_name(level: str, plates: Float[Tensor, "2 2 2"], sheet: Sheet) -> str:
    points = plates[torch.isfinite(plates).all(dim=-1)]
    if not len(points):
        return ""
    x = float(points[:, 0].min()) - 0.7 * sheet.letter_mm
    y = float(points[:, 1].mean()) + 0.35 * sheet.letter_mm
    return _text(level, x, y, sheet.letter_mm * 0.85, "end") if sheet.holds(x, y, 1.0) else ""


def _plate(at: Endplate, levels: tuple[str, ...], plates: Float[Tensor, "l 2 2 2"]) -> Float[Tensor, "2 2"] | None:
    level, which = at
    if level not in levels:
        return None
    plate = plates[levels.index(level), 0 if which == "superior" else 1]
    return plate if _seen(plate) else None


def _angle(mark: AngleMark, levels: tuple[str, ...], plates: Float[Tensor, "l 2 2 2"], sheet: Sheet) -> str:
    upper, lower = _plate(mark.upper, levels, plates), _plate(mark.lower, levels, plates)
    return "" if upper is None or lower is None else construction(upper, lower, mark.text, sheet)


def construction(upper: Float[Tensor, "2 2"], lower: Float[Tensor, "2 2"], text: Sequence[str], sheet: Sheet) -> str:
    """Cobb's construction between two lines, each two points (x, y), the left one first.

    Both are drawn long, with a perpendicular on each where the two meet, and the lines of text there.
    """
    size = 1.25 * sheet.letter_mm
    room = 0.62 * size * max(len(line) for line in text) + size
    meet = _meeting_point(upper, lower, room, sheet)
    if meet is None:  # no room beside the spine: the lines, and the number at the wider edge
        x, y = ((upper.mean(0) + lower.mean(0)) / 2).tolist()
        edge, anchor = (size, "start") if x > sheet.width_mm / 2 else (sheet.width_mm - size, "end")
        return path(_longer(upper), "long") + path(_longer(lower), "long") + _texts(text, edge, y, size, anchor)
    feet = (_foot(upper, meet), _foot(lower, meet))
    parts = [path(_longer(plate, foot), "long") for plate, foot in zip((upper, lower), feet, strict=True)]
    # the upper perpendicular goes on past the meeting point: the angle is between it and the lower one
    parts += [path(torch.stack([feet[0], feet[0] + 1.4 * (meet - feet[0])]), "square")]
    parts += [path(torch.stack([feet[1], meet]), "square")]
    parts.append(_arc(meet, meet - feet[0], feet[1] - meet))
    outward = 1.0 if float(meet[0] - (upper[:, 0].mean() + lower[:, 0].mean()) / 2) > 0 else -1.0
    x, y = float(meet[0]) + outward * size, float(meet[1])
    return "".join(parts) + _texts(text, x, y, size, "start" if outward > 0 else "end")


def _texts(lines: Sequence[str], x: float, y: float, size: float, anchor: str) -> str:
    """Lines of text one under the other, centred on y."""
    top = y - 0.6 * size * (len(lines) - 1) + 0.35 * size
    return "".join(_text(line, x, top + 1.2 * size * i, size, anchor) for i, line in enumerate(lines))


def _foot(plate: Float[Tensor, "2 2"], point: Float[Tensor, "2"]) -> Float[Tensor, "2"]:
    along = torch.nn.functional.normalize(plate[1] - plate[0], dim=0)
    return plate[0] + ((point - plate[0]) @ along) * along


def _longer(plate: Float[Tensor, "2 2"], foot: Float[Tensor, "2"] | None = None) -> Float[Tensor, "2 2"]:
    """The endplate line drawn 40 % longer at both ends, and past `foot` where that lies further out."""
    step = plate[1] - plate[0]
    ends = [-0.4, 1.4]
    if foot is not None:
        at = float((foot - plate[0]) @ step / (step @ step))
        ends = [min(ends[0], at - 0.15), max(ends[1], at + 0.15)]
    return torch.stack([plate[0] + end * step for end in ends])


def _meeting_point(
    upper: Float[Tensor, "2 2"], lower: Float[Tensor, "2 2"], room: float, sheet: Sheet
) -> Float[Tensor, "2"] | None:
    """Where the perpendiculars shall meet: half-way down, beside the bodies, first where the endplates diverge (convex)."""
    tilt = [float(torch.atan2(p[1, 1] - p[0, 1], p[1, 0] - p[0, 0])) for p in (upper, lower)]
    convex = 1.0 if tilt[1] > tilt[0] else -1.0
    middle = (upper.mean(0) + lower.mean(0)) / 2
    reach = max(float((p[1] - p[0]).norm()) for p in (upper, lower))
    for side in (convex, -convex):
        for away in (1.2, 1.6, 2.0, 2.5, 3.0, 3.6):
            meet = middle + torch.tensor([side * away * reach, 0.0], dtype=middle.dtype)
            clear = min(side * float(_foot(p, meet)[0] - p[:, 0].mean()) for p in (upper, lower))
            if clear > 0.8 * reach and sheet.holds(float(meet[0]) + side * room, float(meet[1]), sheet.letter_mm):
                return meet
    return None


def _arc(centre: Float[Tensor, "2"], first: Float[Tensor, "2"], second: Float[Tensor, "2"]) -> str:
    """The arc of the angle itself, from one perpendicular's extension to the other perpendicular."""
    radius = 0.3 * min(float(first.norm()), float(second.norm()))
    start = centre + radius * torch.nn.functional.normalize(first, dim=0)
    end = centre + radius * torch.nn.functional.normalize(second, dim=0)
    turn = 1 if float(first[0] * second[1] - first[1] * second[0]) > 0 else 0
    (x1, y1), (x2, y2) = start.tolist(), end.tolist()
    return f'<path class="arc" d="M{x1:.2f} {y1:.2f}A{radius:.2f} {radius:.2f} 0 0 {turn} {x2:.2f} {y2:.2f}"/>'
