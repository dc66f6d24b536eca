"""Draw docs/figures/sensors.jpg: one virtual patient through every sensor, and again with the sensors' settings drawn anew.

Usage: python docs/figures/sensors.py
"""

from pathlib import Path

from contact import Panel, contact_sheet

from spondyl.images import BackImage, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image, Subject
from spondyl.report.backs import false_colour
from spondyl.report.films import grey
from spondyl.report.sections import along_spine, section_view, windowed
from spondyl.sim.make import SENSORS, images, randomised, sensor_named
from spondyl.sim.patient import demo_patient, subject
from spondyl.sim.seeds import generator_of

SPACING_MM, SEED = 1.6, 5


def panels(name: str, image: Image, person: Subject) -> list[Panel]:
    """The pictures of one image; a photograph has two."""
    if isinstance(image, Volume):
        view = section_view(person.spine, 0.0, 240.0)
        section = along_spine(image, person.spine, view)
        return [Panel(windowed(section).float() / 255, view.pixel_spacing_mm, "CT, along the spine")]
    if isinstance(image, Radiograph):
        return [Panel(grey(image).float() / 255, image.view.pixel_spacing_mm, name)]
    if isinstance(image, Ultrasound):
        return [Panel(image.echo, image.pixel_spacing_mm, "ultrasound")]
    assert isinstance(image, BackImage)
    return [Panel(image.rgb, (1.0, 1.0), "colour"), Panel(false_colour(image), (1.0, 1.0), "depth")]


def main() -> None:
    """Image the patient of the demo twice."""
    person = subject(demo_patient(), spacing_mm=SPACING_MM)
    usual = {name: sensor_named(name) for name in SENSORS}
    drawn = {
        name: randomised(sensor, generator=generator_of(SEED, f"{name} settings")) for name, sensor in usual.items()
    }
    rows = []
    for sensors in (usual, drawn):
        taken = images(person, sensors, {name: generator_of(SEED, name) for name in sensors})
        rows.append([panel for name, image in taken.items() for panel in panels(name, image, person)])
    contact_sheet(rows, Path(__file__).with_suffix(".jpg"), 400)


if __name__ == "__main__":
    main()
