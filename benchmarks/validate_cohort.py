"""Virtual patients against published norms, a row a target: shape, alignment, deformity (targets 1 to 12).

    python benchmarks/validate_cohort.py [--ais 1000] [--normal 1000] [--seed 7]

Writes its rows into benchmarks/validation.csv from 400 and 200 patients on; `docs/splice_validation.py` puts them on the page.
The images have `validate_images.py` and `films.py`. A row fails where its value lies outside the range that is wanted.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from cohort_measures import (
    apical_wedge_deg,
    body_share,
    curves,
    height_loss_mm,
    heights,
    kyphosis_3d_deg,
    sagittal_deg,
    surface_errors,
    usual,
)
from cohort_rows import (
    Array,
    Row,
    correlation,
    keep,
    largest,
    mean,
    row,
    slope,
    slope_through_zero,
    spread,
)

from spondyl.sim.patient import Curve, Patient, draw, rotation_of, spa_deg, ultrasound_landmarks
from spondyl.sim.patient.anatomy import growth, level_size

LEAST_AIS, LEAST_NORMAL = 400, 200  # smaller runs are a trial: they are printed and not kept
THORACIC = tuple(f"T{i}" for i in range(1, 13))


def shape_rows(normal: Sequence[Patient]) -> list[Row]:
    """Targets 1 to 3: vertebrae and discs."""
    people = usual(normal)
    off, whose = [], []
    for k, p in enumerate(people):
        long = growth(p.body.sex, p.body.age_years) * p.body.size
        for size in p.body.sizes[1:-1]:
            off.append(abs(size.vbhp - level_size(size.level, long, 1.0).vbhp) < 1.5)
            whose.append(k)
    what = "posterior heights within 1.5 mm of the table, share"
    rows = [row("1", what, 0.9, 1.0, np.array(off, float), mean, who=whose)]
    woman = [
        draw(
            generator=torch.Generator().manual_seed(s),
            cohort="normal",
            sex="female",
            age_years=16.0,
            variant="usual",
            cobb_deg=0.0,
        )
        for s in range(60)
    ]
    length = [
        sum(s.height + s.disc for s in p.body.sizes if s.level in THORACIC) - p.body.sizes[12].disc for p in woman
    ]
    lumbar = [sum(s.height + s.disc for s in p.body.sizes if s.level.startswith("L")) for p in woman]
    rows.append(row("1", "length T1-T12, girls of 16, mm", 247, 273, np.array(length), mean))
    rows.append(row("1", "length L1-L5 with discs, girls of 16, mm", 146, 177, np.array(lumbar), mean))
    widths = [
        all(a.epwu < b.epwu + 1.5 for a, b in zip(p.body.sizes[4:16], p.body.sizes[5:17], strict=True)) for p in people
    ]
    rows.append(row("1", "widths growing T4 to L4 (1.5 mm of grace), share", 0.9, 1.0, np.array(widths, float), mean))
    l5 = [heights(p, "L5")[0] / heights(p, "L5")[1] for p in people]
    rows.append(row("2", "L5 anterior over posterior height", 1.10, 1.20, np.array(l5), mean))
    wedge = [
        min(heights(p, level)[0] / heights(p, level)[1] for level in ("T10", "T11", "T12", "L1", "L2", "L3")) > 0.893
        for p in people
    ]
    rows.append(row("2", "normals with every T10-L3 ratio over 0.893, share", 0.95, 1.0, np.array(wedge, float), mean))
    disc = {
        level: [s.disc for p in woman for s in p.body.sizes if s.level == level] for level in ("T3", "T4", "T5", "T10")
    }
    rows.append(row("3", "disc T4/5, mm", 1.9, 3.5, np.array(disc["T4"]), mean))
    rows.append(row("3", "disc T10/11, mm", 3.9, 6.5, np.array(disc["T10"]), mean))
    least = [min((s.disc, s.level) for s in p.body.sizes[1:12])[1] in ("T3", "T4", "T5") for p in woman]
    rows.append(row("3", "thinnest thoracic disc at T3/4 to T5/6, share", 0.6, 1.0, np.array(least, float), mean))
    return rows


def alignment_rows(normal: Sequence[Patient], ais: Sequence[Patient]) -> list[Row]:
    """Targets 4 to 6: sagittal alignment."""
    people = usual(normal)
    tk = np.array([sagittal_deg(p, "T4", "T12") for p in people])
    ll = np.array([-sagittal_deg(p, "L1", "S1", inferior=False) for p in people])
    pi = np.array([p.posture.pelvic_incidence_deg for p in people])
    ss = np.array([p.posture.sacral_slope_deg for p in people])
    pt = np.array([p.posture.pelvic_tilt_deg for p in people])
    rows = []
    for name, data, low, high, sd in (
        ("TK T4-T12", tk, 35, 40, (8, 13)),
        ("LL L1-S1", ll, 48, 57, (10, 12)),
        ("PI", pi, 46, 48, (8, 11)),
        ("SS", ss, 39, 41, None),
        ("PT", pt, 5, 9, (5, 9)),
    ):
        rows.append(row("4", f"{name}, mean", low, high, data, mean))
        if sd is not None:
            rows.append(row("4", f"{name}, SD", *sd, data, spread))
    rows.append(row("4", "|PI - PT - SS|, largest", 0, 1e-6, np.abs(pi - pt - ss), largest))
    rows.append(row("5", "r(PI, LL)", 0.5, 0.7, np.stack([pi, ll], 1), correlation))
    rows.append(row("5", "r(SS, LL)", 0.7, 0.85, np.stack([ss, ll], 1), correlation))
    sick = [p for p in usual(ais) if p.traits.cohort == "surgical" and p.traits.hardware is None]
    low_tk = np.array([sagittal_deg(p, "T5", "T12") for p in sick])
    base = float(np.mean([sagittal_deg(p, "T5", "T12") for p in people]))
    rows.append(row("6", "loss of T5-T12 kyphosis, surgical against normal", 8, 11, base - low_tk, mean))
    base3 = float(np.mean([kyphosis_3d_deg(p) for p in people]))
    near = [p for p in sick if any(50 <= c.cobb_deg <= 64 for c in p.posture.curves)]
    rows.append(
        row(
            "6",
            "3-D loss of T5-T12 kyphosis at Cobb 50-64",
            15,
            25,
            base3 - np.array([kyphosis_3d_deg(p) for p in near]),
            mean,
        )
    )
    return rows


def deformity_rows(normal: Sequence[Patient], ais: Sequence[Patient]) -> list[Row]:
    """Targets 7 to 11: rotation, wedges, hump, height, mix of types."""
    free = [p for p in ais if p.traits.hardware is None]
    chest = curves(free, "thoracic")
    main = [(p, c) for p, c in chest if c.lower not in ("T4", "T5", "T6")]
    turned = np.array([[c.cobb_deg, rotation_of(c)] for _, c in main])
    rows = [row("7", "r(Cobb, rotation), main thoracic", 0.65, 0.8, turned, correlation, who=seeds(main))]
    rows.append(row("7", "rotation per Cobb, main thoracic", 0.28, 0.35, turned, slope_through_zero, who=seeds(main)))
    neutral, convex = [], []
    for p, c in main:
        axes = p.spine.axes.double().numpy()
        turn = np.degrees(np.arctan2(axes[:, 0, 1], axes[:, 0, 0]))
        inner = turn[p.spine.index(c.upper) + 1 : p.spine.index(c.lower)]
        neutral += [abs(turn[p.spine.index(level)]) for level in (c.upper, c.lower)]
        convex.append((inner[np.abs(inner).argmax()] < 0) == (c.side == "right"))
    twice = [seed for seed in seeds(main) for _ in range(2)]
    low_turn = np.array(neutral) < 3.0
    rows.append(row("7", "rotation of end vertebrae under 3 degrees, share", 0.95, 1.0, low_turn, mean, who=twice))
    rows.append(
        row("7", "body turned to the convexity, share", 1.0, 1.0, np.array(convex, float), mean, who=seeds(main))
    )
    for region, share in (("thoracic", 0.62), ("thoracolumbar", 0.31), ("lumbar", 0.23)):
        found = curves(free, region)
        parts = np.array([body_share(p, c) for p, c in found])
        what = f"share of the bodies in {region} curves"
        rows.append(row("8", what, share - 0.08, share + 0.08, parts, mean, who=seeds(found)))
    large = [(p, c) for p, c in main if 45 <= c.cobb_deg <= 65]
    apical = np.array([apical_wedge_deg(p, c) for p, c in large])
    rows.append(row("8", "apical body wedge at Cobb 45-65, mean", 3.7, 9.9, apical, mean, who=seeds(large)))
    bends = np.array([[p.traits.atr_deg[p.posture.curves.index(c)], c.cobb_deg] for p, c in main])
    rows.append(row("9", "r(ATR, Cobb), main thoracic", 0.75, 0.9, bends, correlation, who=seeds(main)))
    rows.append(row("9", "Cobb per ATR, main thoracic", 1.6, 2.4, bends, slope, who=seeds(main)))
    high = np.array([max(p.traits.atr_deg, default=0.0) >= 7 for p in normal], float)
    rows.append(row("9", "normals with ATR of 7 or more, share", 0.0, 0.05, high, mean))
    rows.append(
        row(
            "9",
            "skin's rotation against its design, 20 patients, largest error in degrees",
            0,
            1.0,
            surface_errors(free[:20]),
            largest,
        )
    )
    return [*rows, *height_and_type_rows(free, ais, main)]


def height_and_type_rows(
    free: Sequence[Patient], ais: Sequence[Patient], main: Sequence[tuple[Patient, Curve]]
) -> list[Row]:
    """Targets 10 and 11: height lost, mix of types, side."""
    rows = []
    loss = np.array([height_loss_mm(p) for p in free if 40 <= max(c.cobb_deg for c in p.posture.curves) <= 52])
    rows.append(row("10", "height lost at Cobb 40-52, mm", 12, 24, loss, mean))
    kinds = np.array(
        [[p.traits.curve_type == k for k in "123456"] for p in ais if p.traits.cohort == "surgical"], float
    )
    for k, share, grace in (("1", 0.50, 0.08), ("3", 0.05, 0.04), ("4", 0.04, 0.04)):
        rows.append(
            row("11", f"type {k} at surgery, share", max(share - grace, 0), share + grace, kinds[:, int(k) - 1], mean)
        )
    rows.append(
        row(
            "11",
            "main thoracic curves convex right, share",
            0.90,
            1.0,
            np.array(
                [c.side == "right" for p, c in main if max(p.posture.curves, key=lambda k: k.cobb_deg) is c], float
            ),
            mean,
        )
    )
    return rows


def seeds(found: Sequence[tuple[Patient, Curve]]) -> list[int]:
    """Whose each curve is, for an interval over patients."""
    return [p.seed for p, _ in found]


def ultrasound_rows(ais: Sequence[Patient]) -> list[Row]:
    """Target 12: Cobb = 4.1 + 0.88 SPA + 0.44 AVR (Morrison 2015)."""
    data = []
    for p in ais:
        if p.traits.hardware is None:
            marks = ultrasound_landmarks(p)
            c = max(p.posture.curves, key=lambda k: k.cobb_deg)
            data.append([c.cobb_deg, spa_deg(marks, c), rotation_of(c)])
    table = np.array(data)

    def fit(a: Array) -> tuple[Array, float]:
        x = np.stack([np.ones(len(a)), a[:, 1], a[:, 2]], 1)
        beta = np.linalg.lstsq(x, a[:, 0], rcond=None)[0]
        rest = a[:, 0] - x @ beta
        return beta, 1 - float(rest @ rest) / float(((a[:, 0] - a[:, 0].mean()) ** 2).sum())

    return [
        row("12", "R2 of Cobb on SPA and rotation", 0.85, 1.0, table, lambda a: fit(a)[1]),
        row("12", "coefficient of SPA", 0.73, 1.03, table, lambda a: float(fit(a)[0][1])),
        row("12", "coefficient of rotation", 0.24, 0.64, table, lambda a: float(fit(a)[0][2])),
        row("12", "r(Cobb, SPA)", 0.88, 0.98, table[:, :2], correlation),
        row("12", "SPA over Cobb, mean", 0.80, 0.95, table[:, 1] / table[:, 0], mean),
    ]


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ais", type=int, default=1000)
    parser.add_argument("--normal", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(args.seed)
    normal = [draw(generator=generator, cohort="normal") for _ in range(args.normal)]
    ais = [draw(generator=generator, cohort="surgical" if i % 2 else "screening") for i in range(args.ais)]
    rows = shape_rows(normal) + alignment_rows(normal, ais) + deformity_rows(normal, ais) + ultrasound_rows(ais)
    for r in rows:
        print(f"{r.number} {r.what}: {r.value:.3g} ({r.interval[0]:.3g} to {r.interval[1]:.3g}), n {r.n}, {r.verdict}")
    if args.ais >= LEAST_AIS and args.normal >= LEAST_NORMAL:
        keep("cohort", rows, args.seed)


if __name__ == "__main__":
    main()
