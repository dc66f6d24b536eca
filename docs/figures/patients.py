"""Draw docs/figures/patients.jpg: what a draw gives, from the straight spine to the instrumented one.

Usage: python docs/figures/patients.py
"""

from pathlib import Path

import torch
from contact import Panel, contact_sheet

from spondyl.measure.cobb import cobb_from_spine, is_scoliotic
from spondyl.pairs import Subject
from spondyl.report.films import grey
from spondyl.sim.make import images, sensor_named
from spondyl.sim.patient import Patient, draw, rasterise

SPACING_MM = 1.6
WANTED: tuple[tuple[str, dict[str, object]], ...] = (
    ("normal", {}),
    ("screening", {"curve_type": "1", "cobb_deg": 28.0}),
    ("surgical", {"curve_type": "1", "cobb_deg": 62.0}),
    ("surgical", {"curve_type": "3", "cobb_deg": 54.0}),
    ("screening", {"curve_type": "5", "cobb_deg": 38.0}),
    ("adult", {"cobb_deg": 33.0}),
)


def words(patient: Patient, cohort: str) -> str:
    """Who it is: cohort, age, sex, curves from cranial to caudal."""
    curves = [c for c in cobb_from_spine(patient.spine) if is_scoliotic(c)]
    angles = ", ".join(f"{c.angle_deg:.0f}° {c.side[0].upper()}" for c in curves) or "no scoliosis"
    return f"{cohort}: {patient.body.sex}, {patient.body.age_years:.0f} y\n{angles}"


def main() -> None:
    """Draw and image the patients, PA above lateral."""
    rows: tuple[list[Panel], list[Panel]] = ([], [])
    for number, (cohort, wish) in enumerate(WANTED):
        patient = draw(generator=torch.Generator().manual_seed(40 + number), cohort=cohort, **wish)  # type: ignore[arg-type]
        subject = Subject(rasterise(patient, spacing_mm=SPACING_MM), patient.spine)
        sensors = {name: sensor_named(name) for name in ("pa", "lateral")}
        generators = {name: torch.Generator().manual_seed(number) for name in sensors}
        for row, (name, film) in zip(rows, images(subject, sensors, generators).items(), strict=True):
            text = words(patient, cohort) if name == "pa" else ""
            row.append(Panel(grey(film).float() / 255, film.view.pixel_spacing_mm, text))  # type: ignore[union-attr, arg-type]
    contact_sheet(rows, Path(__file__).with_suffix(".jpg"), 400)


if __name__ == "__main__":
    main()
