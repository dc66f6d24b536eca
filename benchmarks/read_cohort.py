"""The readers on simulated films and ultrasound images whose truth is exact: one JSON line a case, for `read_rows.py`.

    python benchmarks/read_cohort.py WEIGHTS COHORT OUT.jsonl [--limit N] [--seed 7] [--ultrasound WEIGHTS]

Every film is shown as another hospital's workstation would (`sim.film.FilmLook`, drawn anew) before it is read. The truth is what
an exact rater reads on the same picture: the chords of the endplates' silhouettes (`SpineCurve.project`). Lines that are there
are not read again. A cohort for testing is made by `spondyl simulate --modalities pa,lateral,ultrasound --shapes held-out`.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from spondyl.images import Radiograph, Ultrasound
from spondyl.io.shards import LANDMARKS, Cohort, StoredCase
from spondyl.measure.cobb import cobb_angles, main_curve
from spondyl.measure.interval import cobb_spread, sagittal_spread
from spondyl.measure.sagittal import angles_of_leans, leans_of_corners, sacral_slope_deg, sagittal_from_corners
from spondyl.measure.steady import steadied
from spondyl.measure.tilt import tilts_of_corners
from spondyl.measure.ultrasound_angle import arch_lines, line_tilts_deg, uca
from spondyl.sim.film import FilmLook
from spondyl.sim.seeds import generator_of
from spondyl.sim.ultrasound_marks import marks_of
from spondyl.simulate.landmark_json import arches_of
from spondyl.spine import Cobb, Corners, UltrasoundMarks
from spondyl.systems.ultrasound_to_landmarks import UltrasoundToLandmarks
from spondyl.systems.xray_to_corners import TOGETHER, TOGETHER_LATERAL, XrayToCorners, pixel_of

Line = dict[str, object]


def square_of(corners: Corners, pixel: tuple[float, float]) -> Corners:
    """The corners in square pixels of the patient, mm, without a view: what both readings are measured in."""
    scale = torch.tensor(pixel)
    spread = None if corners.spread_px is None else corners.spread_px * scale
    return replace(corners, corners_px=corners.corners_px * scale, spread_px=spread, view=None)


def read_film(reader: XrayToCorners, film: Radiograph, *, lateral: bool, seed: int) -> tuple[Corners, float]:
    """What the reader makes of the displayed film, steadied, in mm; and the seconds that it took."""
    look = FilmLook().randomised(generator=generator_of(seed, "look"))
    shown = Radiograph(look(film), film.view)
    begun = time.perf_counter()
    (corners,) = reader.translate(shown, generator=torch.Generator())
    if not isinstance(corners, Corners):
        raise TypeError(f"the reader gave a {type(corners).__name__}")
    together = TOGETHER_LATERAL if lateral else TOGETHER
    out = steadied(square_of(corners, pixel_of(film.view)), lateral=lateral, together=together)
    return out, time.perf_counter() - begun


def coronal_line(read: Corners, truth: Corners, seed: int) -> Line:
    """Main angle, its ends, every true curve read between its true ends, with spreads."""
    wanted = cobb_angles(tilts_of_corners(truth, left_is_low_u=True))
    main = main_curve(wanted)
    out: Line = {"levels": list(read.levels), "true_levels": list(truth.levels), "corner_mm": _corner_mm(read, truth)}
    out |= {"level_shift": _shift(read, truth), "confidence": read.confidence.tolist()}
    if main is None or len(read.levels) < 2:
        return out | {"truth": None if main is None else main.angle_deg, "read": None}
    found = main_curve(cobb_angles(tilts_of_corners(read, left_is_low_u=True)))
    out |= {"truth": main.angle_deg, "truth_ends": [main.upper, main.lower]}
    if found is None or read.spread_px is None:
        return out | {"read": None}
    g = generator_of(seed, "spread")
    spread = cobb_spread(read, read.spread_px, found, generator=g, left_is_low_u=True)
    out |= {
        "read": found.angle_deg,
        "read_ends": [found.upper, found.lower],
        "bias": spread.bias_deg,
        "sd": spread.sd_deg,
    }
    return out | {"curves": [_same_ends(read, curve) for curve in wanted]}


def _same_ends(read: Corners, curve: Cobb) -> Line:
    """One true curve and the reader's angle between the same two endplates."""
    line: Line = {"truth": curve.angle_deg, "upper": curve.upper, "lower": curve.lower, "read": None}
    if {curve.upper, curve.lower} <= set(read.levels) and read.spread_px is not None:
        tilts = tilts_of_corners(read, left_is_low_u=True).tilts_deg
        step = float(tilts[read.levels.index(curve.upper), 0] - tilts[read.levels.index(curve.lower), 1])
        spread = cobb_spread(read, read.spread_px, curve, generator=torch.Generator(), free=False, left_is_low_u=True)
        line |= {"read": abs(step), "sd": spread.sd_deg}
    return line


def lateral_line(read: Corners, truth: Corners, faces_right: bool) -> Line:
    """Every sagittal angle of the truth, and the reader's of the same name with its spread."""
    faces = "right" if faces_right else "left"
    wanted = leans_of_corners(truth, faces=faces)
    out: Line = {"levels": list(read.levels), "corner_mm": _corner_mm(read, truth), "level_shift": _shift(read, truth)}
    angles = []
    got = {(a.upper, a.lower): a for a in sagittal_from_corners(read, faces=faces)} if len(read.levels) > 1 else {}
    for angle in angles_of_leans(wanted):
        line: Line = {"upper": angle.upper, "lower": angle.lower, "truth": angle.kyphosis_deg, "read": None}
        same = got.get((angle.upper, angle.lower))
        if same is not None and read.spread_px is not None:
            spread = sagittal_spread(read, read.spread_px, same, faces=faces)
            line |= {"read": same.kyphosis_deg, "sd": spread.sd_deg}
        angles.append(line)
    slope = sacral_slope_deg(wanted)
    own = sacral_slope_deg(leans_of_corners(read, faces=faces)) if len(read.levels) > 1 else None
    return out | {"angles": angles, "slope": slope, "slope_read": own}


def ultrasound_line(reader: UltrasoundToLandmarks, case: StoredCase, scan: Ultrasound) -> Line:
    """The ultrasound curve angle of the true main curve, from the true marks and from the read ones."""
    truth = marks_of(arches_of(case.content(LANDMARKS), LANDMARKS), scan)
    begun = time.perf_counter()
    (read,) = reader.translate(scan, generator=torch.Generator())
    seconds = time.perf_counter() - begun
    assert isinstance(read, UltrasoundMarks)
    curves = [c for c in case.record.truth.curves if c.cobb_deg >= 10]
    main = max(curves, key=lambda c: c.cobb_deg, default=None)
    if main is None:
        return {"truth": None, "read": None, "seconds": seconds}
    angles = []
    for marks in (truth, read):
        tilts = line_tilts_deg(arch_lines(marks.levels, marks.transverse_px, marks.laminae_px), scan.pixel_spacing_mm)
        try:
            angles.append(uca(marks.levels, tilts, upper=main.upper, lower=main.lower, side=main.side).angle_deg)
        except ValueError:
            angles.append(math.nan)
    found = None if math.isnan(angles[1]) else angles[1]
    return {"truth": angles[0], "read": found, "levels": list(read.levels), "seconds": seconds}


def _corner_mm(read: Corners, truth: Corners) -> float | None:
    """Median distance of the corners of levels that both name."""
    both = [level for level in truth.levels if level in read.levels]
    if not both:
        return None
    a, b = (c.corners_px[[c.levels.index(level) for level in both]] for c in (read, truth))
    away = torch.linalg.norm(a - b, dim=2).flatten()
    return float(away[torch.isfinite(away)].median())


def _shift(read: Corners, truth: Corners) -> int | None:
    """By how many levels most names are off: the true vertebra nearest to each read one against its name."""
    if not read.levels:
        return None
    middles, own = truth.corners_px.nanmean(1), read.corners_px.nanmean(1)
    nearest = torch.cdist(own, middles).argmin(1).tolist()
    off = [
        list(truth.levels).index(level) - n
        for level, n in zip(read.levels, nearest, strict=True)
        if level in truth.levels
    ]
    return max(set(off), key=off.count) if off else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a cohort."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--laterals", type=int, help="read the lateral films of so many cases only")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ultrasound", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    reader = XrayToCorners.from_pretrained(asked.weights)
    scans = None if asked.ultrasound is None else UltrasoundToLandmarks.from_pretrained(asked.ultrasound)
    done = {json.loads(line)["id"] for line in asked.out.read_text().splitlines()} if asked.out.exists() else set()
    with asked.out.open("a", encoding="utf-8") as out:
        for number, case in enumerate(list(Cohort(asked.cohort).iterate())[: asked.limit]):
            if case.id in done:
                continue
            line: Line = {"id": case.id, "patient": case.record.patient, "shape_split": case.record.shape_split}
            for name in ("pa", "lateral") if asked.laterals is None or number < asked.laterals else ("pa",):
                film = case.image(name)
                if not isinstance(film, Radiograph):
                    raise TypeError(f"{name} of case {case.id} is no radiograph")
                seed = case.record.seed + asked.seed
                read, seconds = read_film(reader, film, lateral=name == "lateral", seed=seed)
                truth = square_of(case.spine.project(film.view), pixel_of(film.view))
                right = float(film.view.world_from_detector[1, 0]) < 0
                part = coronal_line(read, truth, seed) if name == "pa" else lateral_line(read, truth, right)
                line[name] = part | {"seconds": seconds}
            scan = case.image("ultrasound") if scans is not None else None
            if scans is not None and isinstance(scan, Ultrasound):
                line["ultrasound"] = ultrasound_line(scans, case, scan)
            out.write(json.dumps(line) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
