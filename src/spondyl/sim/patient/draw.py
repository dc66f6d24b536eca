"""Draw a virtual patient from a population; anything that the caller names is kept, the rest is drawn around it."""

from dataclasses import replace
from typing import Literal, get_args

import torch

from spondyl.sim.patient.anatomy import DEFAULT_LEVELS, Body, LevelSize, Sex, make_body, names, number, series
from spondyl.sim.patient.chance import Chance
from spondyl.sim.patient.curve_types import CurveType, curves_of, draw_type
from spondyl.sim.patient.patient import Hardware, Patient, Stance, Traits, make_patient
from spondyl.sim.patient.posture import Curve, Posture, apex_region, supine

Cohort = Literal["normal", "screening", "surgical", "adult"]
LARGEST_COBB_DEG = 80.0


def draw(
    *,
    generator: torch.Generator,
    cohort: Cohort = "screening",
    sex: Sex | None = None,
    age_years: float | None = None,
    cobb_deg: float | None = None,
    curve_type: CurveType | None = None,
    bmi: float | None = None,
    skin_type: int | None = None,
    stance: Stance = "standing",
    variant: str | None = None,
    instrumented: bool | None = None,
    braced: bool | None = None,
) -> Patient:
    """One patient of a population.

    Args:
        generator: decides everything that is not given; the same state gives the same patient.
        cohort: "normal" (|Cobb| of a few degrees), "screening" (10 to 60), "surgical" (about 40 to 80) or "adult".
        sex, age_years, bmi: of the patient; age 8 to 18 in the first three cohorts unless given, 18 to 70 in adults.
        cobb_deg: of the largest curve, standing, 0 to 80.
        curve_type: Lenke-like "1" to "6", or "none".
        skin_type: Fitzpatrick 1 to 6.
        stance: "supine" makes the same patient flatter, as on a CT table.
        variant: "usual", "T13", "L6", "L4" (four lumbar) or "T11" (eleven thoracic vertebrae).
        instrumented: pedicle screws and rods over the largest curve, which they have straightened.
        braced: wears a brace.

    Raises:
        ValueError: for a wish outside these ranges.
    """
    _check_words(cohort, curve_type, stance, variant)
    _check_numbers(cobb_deg, age_years, bmi, skin_type)
    if curve_type == "none" and cobb_deg is not None and cobb_deg >= 10:
        raise ValueError(f"cobb_deg is {cobb_deg} with curve_type 'none'; wanted less than 10, or a type from 1 to 6")
    chance = Chance(generator)
    pattern = draw_type(cohort, chance) if curve_type is None or curve_type == "none" else curve_type
    size_deg = _cobb(cohort, "none" if curve_type == "none" else pattern, chance) if cobb_deg is None else cobb_deg
    kind: CurveType = pattern if size_deg >= 10 else "none"
    who = sex or _sex(cohort, kind, size_deg, chance)
    age = _age(cohort, chance) if age_years is None else age_years
    mass = _bmi(age, chance) if bmi is None else bmi
    levels = _levels(variant or _variant(chance))
    size = chance.normal(1.0, number("people", "size_sd"), 0.85, 1.15)
    body = _varied(make_body(sex=who, age_years=age, size=size, bmi=mass, levels=levels), chance)
    atr, curves = curves_of(pattern, size_deg, levels, chance)
    operated = chance.happens(number("people", "instrumented_surgical")) and cohort == "surgical"
    hardware = None
    if (operated if instrumented is None else instrumented) and curves:
        curves, hardware = _fuse(curves, chance)
    posture = _posture(curves, chance)
    fitted = chance.happens(number("people", "braced_screening")) and cohort == "screening" and 20 <= size_deg <= 45
    tone = 1 + int(chance.uniform(0, 6)) if skin_type is None else skin_type
    soft = chance.uniform(*_two("curves", "flexibility"))
    traits = Traits(cohort, kind, tone, stance, soft, atr, fitted if braced is None else braced, hardware)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    bone, muscle, fat = (chance.normal(0.0, sd, -2.0 * sd, 2.0 * sd) for sd in series("people", "tissue_sd"))
    traits = replace(traits, tissue_hu=(bone, muscle, fat))
    return make_patient(supine(posture) if stance == "supine" else posture, body, seed=seed, traits=traits)


def _two(table: str, name: str) -> tuple[float, float]:
    first, second = series(table, name)
    return first, second


def _check_words(cohort: str, kind: str | None, stance: str, variant: str | None) -> None:
    for name, value, allowed in (
        ("cohort", cohort, get_args(Cohort)),
        ("curve_type", kind, get_args(CurveType)),
        ("stance", stance, get_args(Stance)),
        ("variant", variant, ("usual", *names("people", "variants"))),
    ):
        if value is not None and value not in allowed:
            raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(allowed)}")


def _check_numbers(cobb_deg: float | None, age: float | None, bmi: float | None, skin_type: int | None) -> None:
    for name, value, low, high in (
        ("cobb_deg", cobb_deg, 0.0, LARGEST_COBB_DEG),
        ("age_years", age, 4.0, 99.0),
        ("bmi", bmi, 12.0, 50.0),
        ("skin_type", skin_type, 1, 6),
    ):
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} is {value}; wanted {low:g} to {high:g}")


def _cobb(cohort: str, kind: CurveType, chance: Chance) -> float:
    if cohort == "normal" or kind == "none":
        return min(abs(chance.normal(0.0, number("curves", "normal_sd"))), 9.9)
    if cohort == "surgical":
        row = names("curves", "types").index(kind)
        return chance.normal(
            series("curves", "surgical_mean")[row], series("curves", "surgical_sd")[row], 38.0, LARGEST_COBB_DEG
        )
    return min(
        max(number("curves", "screening_median") * chance.lognormal(number("curves", "screening_log_sd")), 10.0), 60.0
    )


def _sex(cohort: str, kind: CurveType, cobb_deg: float, chance: Chance) -> Sex:
    if kind == "none" or cobb_deg < 10:
        share = 0.5
    elif cohort == "surgical":
        share = series("people", "male_surgical")[names("curves", "types").index(kind)]
    else:
        part = min((cobb_deg - 10) / 30, 1.0)
        share = number("people", "male_small_curve") * (1 - part) + number("people", "male_large_curve") * part
    return "male" if chance.happens(share) else "female"


def _age(cohort: str, chance: Chance) -> float:
    if cohort == "adult":
        return chance.uniform(18.0, 70.0)
    if cohort == "normal":
        return chance.uniform(8.0, 18.0)
    mean, sd = series("people", f"age_{cohort}")
    return chance.normal(mean, sd, 8.5 if cohort == "screening" else 10.0, 18.0)


def _bmi(age: float, chance: Chance) -> float:
    middle = number("people", "bmi_at_11") + number("people", "bmi_per_year") * (min(age, 20.0) - 11)
    return chance.normal(middle, number("people", "bmi_sd") * (1.0 if age < 18 else 1.6), 13.5, 36.0)


def _variant(chance: Chance) -> str:
    shares = series("people", "variant_share")
    return chance.choose(["usual", *names("people", "variants")], [1 - sum(shares), *shares])


def _levels(variant: str) -> tuple[str, ...]:
    levels = list(DEFAULT_LEVELS)
    if variant == "T13":
        levels.insert(levels.index("T12") + 1, "T13")
    elif variant == "L6":
        levels.insert(levels.index("L5") + 1, "L6")
    elif variant in ("L4", "T11"):
        levels.remove("L5" if variant == "L4" else "T12")
    return tuple(levels)


def _varied(body: Body, chance: Chance) -> Body:
    """The same body with its own proportions: smooth noise along the spine for heights, widths and processes."""
    n, rho = len(body.sizes), number("people", "neighbour_correlation")
    tall = chance.walk(n, number("people", "height_noise"), rho)
    wide = chance.walk(n, number("people", "height_noise"), rho)
    fine = chance.walk(n, number("people", "detail_noise"), rho)
    discs = chance.walk(n, number("people", "detail_noise"), rho)

    def vary(s: LevelSize, i: int) -> LevelSize:
        h, w, d = 1 + tall[i], 1 + wide[i], 1 + fine[i]
        return replace(
            s, vbhp=s.vbhp * h, vbha=s.vbha * h, disc=s.disc * (1 + discs[i]), epwu=s.epwu * w, epwl=s.epwl * w,
            epdu=s.epdu * w, epdl=s.epdl * w, pw=s.pw * d, ph=s.ph * d, tpw=s.tpw * d, spl=s.spl * d,
        )  # fmt: skip

    return replace(body, sizes=tuple(vary(s, i) for i, s in enumerate(body.sizes)))


def _fuse(curves: tuple[Curve, ...], chance: Chance) -> tuple[tuple[Curve, ...], Hardware]:
    """Curves after fusion of the largest one: it keeps a quarter to a half of its angle, its neighbours follow in part."""
    largest = max(curves, key=lambda c: c.cobb_deg)
    left = chance.uniform(*_two("people", "residual_after_fusion"))
    half = (1 + left) / 2
    after = tuple(
        replace(c, cobb_deg=c.cobb_deg * (left if c is largest else half), rotation_deg=(c.rotation_deg or 0.0) * half)
        for c in curves
    )
    return after, Hardware(largest.upper, largest.lower)


def _posture(curves: tuple[Curve, ...], chance: Chance) -> Posture:
    """Sagittal angles and balance around the curves."""

    def s(name: str) -> float:
        return number("sagittal", name)

    incidence = chance.normal(*_two("sagittal", "incidence"), 25.0, 80.0)
    slope = s("slope_per_incidence") * incidence + s("slope_offset") + chance.normal(0, s("slope_sd"))
    slope = min(max(slope, 12.0), 65.0)
    lordosis = s("lordosis_per_slope") * slope + s("lordosis_offset") + chance.normal(0, s("lordosis_sd"))
    lordosis = min(max(lordosis, 20.0), 88.0)
    thoracic = max((c.cobb_deg for c in curves if apex_region(c.upper, c.lower) == "thoracic"), default=0.0)
    largest = max((c.cobb_deg for c in curves), default=0.0)
    kyphosis = s("kyphosis_mean") + s("kyphosis_per_lordosis") * (lordosis - 52) + chance.normal(0, s("kyphosis_sd"))
    kyphosis -= s("kyphosis_loss_per_cobb") * max(thoracic, 0.9 * largest)
    if largest >= 10:
        kyphosis += chance.normal(0, s("kyphosis_loss_sd"))
    return Posture(
        curves,
        kyphosis_deg=min(max(kyphosis, -12.0), 75.0),
        lordosis_deg=lordosis,
        sacral_slope_deg=slope,
        pelvic_tilt_deg=min(max(incidence - slope, -28.0), 45.0),
        pelvic_obliquity_deg=chance.normal(0, s("obliquity_sd"), -4, 4),
        balance_mm=chance.normal(0, s("balance_sd"), -30, 30),
        sva_mm=chance.normal(*_two("sagittal", "sva"), -60, 45),
    )
