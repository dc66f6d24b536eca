"""What a verb says in its three lines. Plain ASCII, so that any terminal and any log can show it."""

from pathlib import Path

from spondyl.pipeline.exposing import Exposing
from spondyl.report import Report


def read_line(report: Report) -> str:
    """What was read: the grid, and the levels that the labels gave."""
    ct = next(item.name for item in report.inputs if item.role == "ct")
    if report.volume is None:
        return f"read {ct}"
    size = " x ".join(str(n) for n in report.volume.shape_xyz)
    spacing = " x ".join(f"{s:.3g}" for s in report.volume.spacing_mm)
    levels = f", {report.levels[0]} to {report.levels[-1]} read from the labels" if report.levels else ""
    return f"read {ct}: {size} voxels of {spacing} mm{levels}"


def beam_line(exposing: Exposing) -> str:
    """The beam and its voltage."""
    return f"{exposing.beam} beam, {'ideal' if exposing.ideal else f'{exposing.kvp:g} kVp'}"


def _main(report: Report) -> list[str]:
    words = []
    for angle in report.angles:
        if angle.main and angle.angle_deg is not None:
            truth = "" if angle.truth_deg is None else f" (designed {angle.truth_deg:.1f})"
            side = f" {angle.side}" if angle.side else ""
            levels = f" {angle.upper.split()[0]}-{angle.lower.split()[0]}" if angle.plane == "coronal" else ""
            words.append(f"{angle.name.replace('–', '-')}{levels}{side} {angle.angle_deg:.1f} deg{truth}")
    return words


def cobb_part(report: Report) -> str:
    """The main curve after a semicolon, where there is one."""
    return f"; {_main(report)[0]}" if _main(report) else ""


def measured_line(report: Report) -> str:
    """The angles to read first."""
    return f"measured {'; '.join(_main(report)) or 'no angle: too little of the spine is visible'}"


def demo_line(report: Report) -> str:
    """Who was simulated."""
    who = report.inputs[0].name.removeprefix("built in: ")
    return f"SIMULATED: {who}; CT, labels, PA and lateral radiographs, ultrasound, colour and depth"


def wrote_line(report: Report, out: Path) -> str:
    """How many files, how many notes, and where to look."""
    notes = f", with {len(report.notes)} note{'s' * (len(report.notes) > 1)} to read" if report.notes else ""
    return f"wrote {len(report.files)} files{notes}: open {out / 'report.html'}"
