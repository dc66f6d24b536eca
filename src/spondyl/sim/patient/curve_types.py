"""Coronal curve patterns, Lenke-like: which vertebrae end the curves, how large the minor ones are, how they turn.

Types: 1 main thoracic, 2 double thoracic, 3 double major, 4 triple, 5 thoracolumbar or lumbar, 6 the same with a smaller
thoracic curve. Without bending films a type can only be Lenke-like (Lenke 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spondyl.sim.patient.anatomy import names, number, series
from spondyl.sim.patient.chance import Chance
from spondyl.sim.patient.posture import Curve, apex_region
from spondyl.spine import Side, level_index

CurveType = Literal["none", "1", "2", "3", "4", "5", "6"]


@dataclass(frozen=True)
class _Piece:
    """One curve before its ends are named: where it lies and its size."""

    upper: str
    lower: str
    cobb_deg: float


def draw_type(cohort: str, chance: Chance) -> CurveType:
    """A type by the cohort's mix."""
    mix = series("curves", "mix_surgical" if cohort == "surgical" else "mix_screening")
    kinds: dict[str, CurveType] = {"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "6": "6"}
    return kinds[chance.choose(names("curves", "types"), mix)]


def curves_of(
    kind: CurveType, cobb_deg: float, levels: Sequence[str], chance: Chance
) -> tuple[tuple[float, ...], tuple[Curve, ...]]:
    """The curves of a type whose largest one has this Cobb angle, and the forward-bend rotation (ATR) of each, degrees."""
    if cobb_deg < 0.5:
        return (), ()
    pieces = _lumbar_led(kind, cobb_deg, chance) if kind in ("5", "6") else _thoracic_led(kind, cobb_deg, chance)
    pieces = [p for p in (_fit(p, levels) for p in pieces) if p.cobb_deg >= min(6.0, cobb_deg)]
    lead = max(pieces, key=lambda p: p.cobb_deg)
    side = _lead_side(lead, chance)
    atr, curves = [], []
    for i, piece in enumerate(pieces):
        turned = (i - pieces.index(lead)) % 2 == 1
        curve, bend = _turned(piece, _other(side) if turned else side, chance)
        curves.append(curve)
        atr.append(bend)
    return tuple(atr), tuple(curves)


def _thoracic_led(kind: CurveType, cobb_deg: float, chance: Chance) -> list[_Piece]:
    upper = chance.choose(["T4", "T5", "T6"], [1, 5, 4])
    lower = chance.choose(["T11", "T12", "L1"], [4, 4, 1.5])
    above = _ratio("above", kind, chance) * cobb_deg
    foot = chance.choose(["L3", "L4", "L5"], [1, 4, 1])
    below = _ratio("below", kind, chance) * cobb_deg
    head = chance.choose(["T1", "T2"], [3, 1])
    return [_Piece(head, upper, above), _Piece(upper, lower, cobb_deg), _Piece(lower, foot, below)]


def _ratio(where: str, kind: CurveType, chance: Chance) -> float:
    """Size of the minor curve above or below a main thoracic one, over that one."""
    table = series("curves", f"ratio_{where}")
    row = names("curves", "types").index(kind if kind != "none" else "1")
    return chance.normal(table[2 * row], table[2 * row + 1], 0.1, 0.97)


def _lumbar_led(kind: CurveType, cobb_deg: float, chance: Chance) -> list[_Piece]:
    if chance.happens(0.5):
        upper, lower = chance.choose(["T10", "T11"], [1, 1]), chance.choose(["L2", "L3"], [1, 1.5])
    else:
        upper, lower = chance.choose(["T11", "T12"], [1, 1]), "L4"
    minor = (
        max(cobb_deg - chance.uniform(5, 14), 0.6 * cobb_deg)
        if kind == "6"
        else cobb_deg * chance.normal(0.45, 0.13, 0.1, 0.7)
    )
    return [_Piece(chance.choose(["T4", "T5"], [1, 1]), upper, minor), _Piece(upper, lower, cobb_deg)]


def _fit(piece: _Piece, levels: Sequence[str]) -> _Piece:
    """The same piece on a spine that may lack T12 or L5: the next level above stands in."""

    def there(level: str) -> str:
        return level if level in levels else [other for other in levels if level_index(other) < level_index(level)][-1]

    return _Piece(there(piece.upper), there(piece.lower), piece.cobb_deg)


def _lead_side(lead: _Piece, chance: Chance) -> Side:
    if apex_region(lead.upper, lead.lower) == "thoracic":
        return "right" if chance.happens(number("curves", "right_thoracic")) else "left"
    return "left" if chance.happens(number("curves", "left_lumbar")) else "right"


def _other(side: Side) -> Side:
    return "left" if side == "right" else "right"


def _turned(piece: _Piece, side: Side, chance: Chance) -> tuple[Curve, float]:
    """The curve with its axial rotation, surface rotation and wedge share; and its ATR."""
    region = apex_region(piece.upper, piece.lower)
    band = "thoracic" if region == "thoracic" else "lumbar"
    small = min(piece.cobb_deg / 20, 1.0)
    spread = number("curves", f"rotation_sd_{band}") * small
    rotation = number("deformity", f"rotation_per_cobb_{band}") * piece.cobb_deg
    rotation = min(chance.normal(rotation, spread, 0.1 * rotation), 40.0)
    atr = number("curves", "atr_offset") + number("curves", "atr_per_cobb") * piece.cobb_deg
    atr = min(max(atr + chance.normal(0.0, number("curves", "atr_sd")), 0.0), 28.0)
    if level_index(piece.lower) <= level_index("T6"):
        atr *= 0.4  # the high thoracic back lies under the shoulder blades
    share = chance.normal(number("deformity", f"body_share_{region}"), number("curves", "body_share_sd"), 0.05, 0.85)
    curve = Curve(
        piece.upper, piece.lower, piece.cobb_deg, side, rotation, atr * number("curves", "standing_per_atr"), share
    )
    return curve, atr
