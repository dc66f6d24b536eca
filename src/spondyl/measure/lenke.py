"""A Lenke-like type from standing films, with what is missing said (Lenke 2001, J Bone Joint Surg Am 83:1169).

Lenke's type asks whether a minor curve is structural: at least 25 degrees left on side bending, or kyphotic by at least 20
degrees over it. Standing films settle that for some curves and not for others, so the answer is every type that they allow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from spondyl.measure.cobb import region
from spondyl.spine import Cobb, Sagittal

LenkeType = Literal[1, 2, 3, 4, 5, 6]
LenkeRegion = Literal["PT", "MT", "TL/L"]
SagittalModifier = Literal["-", "N", "+"]
LumbarModifier = Literal["A", "B", "C"]

STRUCTURAL_BEND_DEG, STRUCTURAL_KYPHOSIS_DEG = 25.0, 20.0  # Lenke 2001
# MT and TL/L within this are a double major, and MT leads (Lenke 2001: type 6 wants TL/L larger by 5).
EQUAL_DEG = 5.0
LEAST_CURVE_DEG = 10.0
PRESUMED_FLEXIBILITY = 0.5  # middle of 0.3 to 0.8, an estimate
# Which curves are structural, beside the major one, by type; TL/L leads in 5 and 6, either in 4.
TABLE: dict[tuple[bool, bool, bool], dict[LenkeRegion, LenkeType]] = {
    (False, True, False): {"MT": 1},
    (True, True, False): {"MT": 2},
    (False, True, True): {"MT": 3, "TL/L": 6},
    (True, True, True): {"MT": 4, "TL/L": 4},
    (False, False, True): {"TL/L": 5},
}
KYPHOSIS_OVER: dict[LenkeRegion, tuple[str, str]] = {
    "PT": ("T2 superior", "T5 inferior"),
    "MT": ("T10 superior", "L2 inferior"),
    "TL/L": ("T10 superior", "L2 inferior"),
}


@dataclass(frozen=True)
class LenkeLike:
    """What is known of a Lenke type.

    Args:
        types: every type that the films allow, smallest first; one where they settle it, none where no type fits.
        presumed: the one of them if every curve that was not bent loses half of its angle on bending (an estimate; curves
            lose 30 to 80 %) and spines are not kyphotic where nobody measured it. A guess for statistics, not a finding.
        major: region of the major curve.
        sagittal: thoracic modifier by T5-T12, None where that was not measured.
        lumbar: every lumbar modifier that is allowed.
        missing: one sentence for everything that was not known or does not fit.
    """

    types: tuple[LenkeType, ...]
    presumed: LenkeType | None
    major: LenkeRegion | None
    sagittal: SagittalModifier | None
    lumbar: tuple[LumbarModifier, ...]
    missing: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it is written: "1AN"; alternatives with a slash, a question mark for what is not known."""
        lumbar = "?" if len(self.lumbar) == 3 else "/".join(self.lumbar)
        return f"{'/'.join(map(str, self.types)) or '?'}{lumbar}{self.sagittal or '?'}"


def lenke_like(
    curves: Sequence[Cobb],
    angles: Sequence[Sagittal] = (),
    *,
    bending_deg: Mapping[LenkeRegion, float] | None = None,
    lumbar: Sequence[LumbarModifier] = ("A", "B", "C"),
) -> LenkeLike:
    """Every Lenke type that these angles allow.

    A minor curve below 25 degrees standing is taken to stay below it on bending. The two kyphosis rules hold whatever the
    bending films say.

    Args:
        curves: all coronal curves of the standing film; those below 10 degrees are none.
        angles: sagittal angles of the lateral film; T2-T5, T10-L2 and T5-T12 count.
        bending_deg: what is left of each region's curve on side bending, where such films exist.
        lumbar: modifiers that are allowed, from `lumbar_modifier`.
    """
    largest: dict[LenkeRegion, Cobb] = {}
    for curve in sorted(curves, key=lambda c: c.angle_deg):
        where = lenke_region(curve)
        if where is not None and curve.angle_deg >= LEAST_CURVE_DEG:
            largest[where] = curve
    sagittal = sagittal_modifier(angles)
    missing = [] if sagittal else ["The sagittal modifier is not known: T5-T12 kyphosis was not measured."]
    if len(lumbar) > 1:
        missing.append(f"The lumbar modifier is one of {', '.join(lumbar)}: pedicles and the CSVL were not both read.")
    major = _major(largest)
    if major is None:
        reason = "no curve reaches 10 degrees" if not largest else "the largest curve is proximal thoracic"
        return LenkeLike((), None, None, sagittal, tuple(lumbar), (*missing, f"No Lenke type: {reason}."))
    regions: tuple[LenkeRegion, ...] = ("PT", "MT", "TL/L")
    options: list[tuple[bool, ...]] = []
    presumed = []
    for where in regions:
        known, sentence = _structural(where, largest.get(where), where == major, angles, bending_deg or {})
        options.append(known)
        stiff = where in largest and (1 - PRESUMED_FLEXIBILITY) * largest[where].angle_deg >= STRUCTURAL_BEND_DEG
        presumed.append(known[0] if len(known) == 1 else stiff)
        missing += [sentence] if sentence else []
    found = {kind for pt, mt, tl in product(*options) if (kind := TABLE.get((pt, mt, tl), {}).get(major)) is not None}
    if not found:
        missing.append("No Lenke type has these structural curves.")
    guess = TABLE.get((presumed[0], presumed[1], presumed[2]), {}).get(major)
    return LenkeLike(tuple(sorted(found)), guess, major, sagittal, tuple(lumbar), tuple(missing))


def lenke_region(cobb: Cobb) -> LenkeRegion | None:
    """Lenke's region of a curve by its apex; None for a cervical one."""
    where = region(cobb)
    if where == "C":
        return None
    return where if where in ("PT", "MT") else "TL/L"


def sagittal_modifier(angles: Sequence[Sagittal]) -> SagittalModifier | None:
    """`-` below 10, `N` 10 to 40, `+` above 40 degrees of T5-T12 kyphosis; None where it was not measured."""
    kyphosis = _between(angles, "T5 superior", "T13 inferior")
    kyphosis = _between(angles, "T5 superior", "T12 inferior") if kyphosis is None else kyphosis
    if kyphosis is None:
        return None
    return "-" if kyphosis < 10 else "N" if kyphosis <= 40 else "+"


def lumbar_modifier(
    csvl_mm: float, half_body_mm: float, *, pedicle_mm: float | None = None
) -> tuple[LumbarModifier, ...]:
    """The lumbar modifiers that the apical lumbar vertebra allows.

    A: the CSVL runs between its pedicles. B: it touches the body between pedicle and edge. C: it misses the body. Lenke asks
    for A up to the stable vertebra; here the apical vertebra speaks alone.

    Args:
        csvl_mm: distance of the CSVL from the middle of the apical lumbar body; any one unit of length for all three.
        half_body_mm: half the body's width.
        pedicle_mm: from its middle to the inner edge of the pedicle on the CSVL's side. Without it A and B are not told apart.
    """
    if abs(csvl_mm) > half_body_mm:
        return ("C",)
    if pedicle_mm is None:
        return ("A", "B")
    return ("A",) if abs(csvl_mm) < pedicle_mm else ("B",)


def _major(largest: Mapping[LenkeRegion, Cobb]) -> LenkeRegion | None:
    """The larger of MT and TL/L, MT where they are within 5 degrees; None where the proximal curve is larger than both."""
    mt, tl, pt = (largest[r].angle_deg if r in largest else 0.0 for r in ("MT", "TL/L", "PT"))
    if max(mt, tl) < max(pt, LEAST_CURVE_DEG):
        return None
    return "TL/L" if tl >= mt + EQUAL_DEG else "MT" if mt > 0 else "TL/L"


def _structural(
    where: LenkeRegion,
    curve: Cobb | None,
    is_major: bool,
    angles: Sequence[Sagittal],
    bending_deg: Mapping[LenkeRegion, float],
) -> tuple[tuple[bool, ...], str]:
    """Whether a region's curve is structural: the possible answers, and a sentence where there are two."""
    if is_major:
        return (True,), ""
    upper, lower = KYPHOSIS_OVER[where]
    kyphosis = _between(angles, upper, lower)
    if kyphosis is not None and kyphosis >= STRUCTURAL_KYPHOSIS_DEG:
        return (True,), ""
    left = bending_deg.get(where, curve.angle_deg if curve is not None else 0.0)
    bent = where in bending_deg or left < STRUCTURAL_BEND_DEG
    if bent and left >= STRUCTURAL_BEND_DEG:
        return (True,), ""
    lacks = [] if bent else ["a side-bending film"]
    lacks += [] if kyphosis is not None else [f"the kyphosis {upper.split()[0]}-{lower.split()[0]}"]
    if not lacks:
        return (False,), ""
    return (False, True), f"Whether the {where} curve is structural is not known: {' and '.join(lacks)} is missing."


def _between(angles: Sequence[Sagittal], upper: str, lower: str) -> float | None:
    return next((a.kyphosis_deg for a in angles if (a.upper, a.lower) == (upper, lower)), None)
