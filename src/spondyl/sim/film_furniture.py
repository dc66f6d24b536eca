"""What lies on a film besides the patient: lead letters, the joins of stitched exposures, fasteners of clothes.

All of it is optical depth added to the exposure. A radiograph of the bare patient has none of it; that is the default.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.sim.redraw import between, check_settings

# Letters on a grid of 5 x 7, as lead type is cast; own drawing.
GLYPHS: dict[str, tuple[str, ...]] = {
    "L": ("X....", "X....", "X....", "X....", "X....", "X....", "XXXXX"),
    "R": ("XXXX.", "X...X", "X...X", "XXXX.", "X.X..", "X..X.", "X...X"),
    "E": ("XXXXX", "X....", "X....", "XXXX.", "X....", "X....", "XXXXX"),
    "C": (".XXX.", "X...X", "X....", "X....", "X....", "X...X", ".XXX."),
    "T": ("XXXXX", "..X..", "..X..", "..X..", "..X..", "..X..", "..X.."),
}
WORD = "ERECT"
LEAST_SHARE_OF_AXIS = 0.5  # a view counts as frontal while its rows run within 60 degrees of the left-right axis
BESIDE = (0.25, 0.9)  # where side letters lie: shares of the half width
FASTENERS = 4
FASTENER_MM = 9.0  # a hook, a press stud, an electrode's clip


@dataclass(frozen=True)
class Furniture:
    """Things on a film, each away where its depth is zero or below. Places are shares of the picture.

    Args:
        letter_depth: optical depth of the side's letter: L on the patient's left, R on the right (2 mm of lead would be 20
            and more; scatter and the glare of the detector leave 1 to 4). Frontal views only.
        letter_side: which side, negative for the patient's right; 0 lays it beside the spine, -1 and 1 near the edge.
        letter_down: from the upper edge.
        letter_mm: height of the letter on the detector.
        word_depth: the word ERECT, at the other side, under the upper edge.
        word_down: from the upper edge.
        join_step: how much darker (more depth) each exposure of a stitched film is than the one above it.
        join_at: middle between the two joins; they lie a third of the picture apart.
        join_mm: width over which two exposures are blended.
        clip_depth: fasteners and leads on the chest.
        clip_place: decides where they lie.
    """

    letter_depth: float = field(default=0.0, metadata=between(-4.0, 4.0))
    letter_side: float = field(default=0.6, metadata=between(-1.0, 1.0))
    letter_down: float = field(default=0.15, metadata=between(0.1, 0.45))
    letter_mm: float = field(default=14.0, metadata=between(10.0, 20.0))
    word_depth: float = field(default=0.0, metadata=between(-4.0, 3.0))
    word_down: float = field(default=0.12, metadata=between(0.08, 0.2))
    join_step: float = field(default=0.0, metadata=between(-0.1, 0.1))
    join_at: float = field(default=0.5, metadata=between(0.4, 0.6))
    join_mm: float = field(default=4.0, metadata=between(1.0, 15.0))
    clip_depth: float = field(default=0.0, metadata=between(-6.0, 2.0))
    clip_place: float = field(default=0.5, metadata=between(0.0, 1.0))

    def __post_init__(self) -> None:
        check_settings(self, positive=("letter_mm", "join_mm"))

    def laid_on(self, film: Radiograph) -> Radiograph:
        """The film with these things on it; the same film where there are none."""
        added = self.depth(film.view)
        return film if added is None else replace(film, optical_depth=film.optical_depth + added.to(film.optical_depth))

    def depth(self, view: View) -> Float[Tensor, "h w"] | None:
        """Optical depth that the things add in one view; None where there are none."""
        added = torch.zeros(view.shape_px)
        left = _left_column(view)
        if left is not None:
            self._letters(added, view, left)
        if self.join_step != 0:
            added += self._joins(view)
        if self.clip_depth > 0:
            self._fasteners(added, view)
        return added if bool(added.any()) else None

    def _letters(self, added: Tensor, view: View, left: float) -> None:
        """Letters read aright where the patient's right is shown on the left, as films are read."""
        side = math.copysign(1.0, self.letter_side)
        mirrored = left < 0
        if self.letter_depth > 0:
            aside = BESIDE[0] + (BESIDE[1] - BESIDE[0]) * min(abs(self.letter_side), 1.0)
            at = self.letter_down, 0.5 + 0.5 * left * side * aside
            _stamp(added, view, "L" if side > 0 else "R", at, self.letter_mm, self.letter_depth, mirrored)
        if self.word_depth > 0:
            at = self.word_down, 0.5 - 0.3 * left * side
            _stamp(added, view, WORD, at, 0.6 * self.letter_mm, self.word_depth, mirrored)

    def _joins(self, view: View) -> Float[Tensor, "h 1"]:
        rows, pitch = view.shape_px[0], view.pixel_spacing_mm[0]
        v = torch.arange(rows, dtype=torch.float32)[:, None]
        joins = [(self.join_at + part / 6) * rows for part in (-1, 1)]
        steps = [((v - at) * (pitch / self.join_mm) + 0.5).clamp(0, 1) for at in joins]
        return self.join_step * (steps[0] + steps[1] - 1)  # the middle exposure keeps its level

    def _fasteners(self, added: Tensor, view: View) -> None:
        """Small bars in two rows over the chest; where, is a function of `clip_place` alone."""
        (rows, columns), (dv, du) = view.shape_px, view.pixel_spacing_mm
        for k in range(FASTENERS):
            down = 0.25 + 0.2 * _fraction(self.clip_place * 7919 + k * 0.618)
            across = 0.2 + 0.6 * _fraction(self.clip_place * 104729 + k * 0.381)
            tall, wide = (FASTENER_MM, 2.5) if k % 2 else (2.5, FASTENER_MM)
            v, u = int(down * rows), int(across * columns)
            added[v : v + max(1, round(tall / dv)), u : u + max(1, round(wide / du))] += self.clip_depth


def _fraction(x: float) -> float:
    return x - math.floor(x)


def _left_column(view: View) -> float | None:
    """+1 where the patient's left lies at high columns, -1 where at low ones; None in a view from the side."""
    towards_left = float(view.world_from_detector[0, 0])
    return None if abs(towards_left) < LEAST_SHARE_OF_AXIS else math.copysign(1.0, towards_left)


def _stamp(
    added: Tensor, view: View, text: str, at: tuple[float, float], height_mm: float, depth: float, mirrored: bool
) -> None:
    """Add a text of lead, its middle at a share of the picture's rows and columns; what reaches beyond the edge is cut."""
    lines = [".".join(GLYPHS[letter][k] for letter in text) for k in range(7)]
    mask = torch.tensor([[cell == "X" for cell in line] for line in lines], dtype=torch.float32)
    mask = mask.flip(1) if mirrored else mask
    (rows, columns), (dv, du) = view.shape_px, view.pixel_spacing_mm
    size = max(1, round(height_mm / dv)), max(1, round(height_mm / 7 * mask.shape[1] / du))
    mask = functional.interpolate(mask[None, None], size=size, mode="area" if size[0] < 7 else "nearest-exact")[0, 0]
    v, u = round(at[0] * rows - size[0] / 2), round(at[1] * columns - size[1] / 2)
    top, left = max(v, 0), max(u, 0)
    shown = mask[top - v : rows - v, left - u : columns - u]
    added[top : top + shown.shape[0], left : left + shown.shape[1]] += depth * shown
