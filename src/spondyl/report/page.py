"""report.html: one file with its pictures inside, no scripts and nothing from elsewhere.

The page works offline, on a phone, in dark mode and on paper. Which lines are drawn, and whether a PA is shown from behind or as a
PACS shows it, is switched by check boxes and style sheets alone.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from spondyl import __version__
from spondyl.report.record import DISCLAIMER, Report
from spondyl.spine import LEVELS

TITLES = {
    "project": "Radiographs from a CT",
    "measure": "Angles from a labelled CT",
    "demo": "A virtual patient, imaged and measured",
}


@dataclass(frozen=True)
class Film:
    """One radiograph for the page.

    Args:
        name: which picture of the report this is.
        png: the display picture, 8-bit grey PNG.
        size_mm: width and height of the drawing (see `drawing.Canvas`).
        drawing: SVG elements in those mm: lines, names, angles.
        furniture: SVG elements that always show: side letters and scale.
        caption: what it is and from where it is seen.
        coronal_from_behind: whether the PACS switch mirrors it.
    """

    name: str
    png: bytes
    size_mm: tuple[float, float]
    drawing: str
    furniture: str
    caption: str
    coronal_from_behind: bool = False

    @property
    def data_uri(self) -> str:
        """The picture as an address that holds the picture."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Gallery:
    """Films that belong together, under a title, with a sentence for each thing that their lines mean."""

    title: str
    films: tuple[Film, ...]
    legend: tuple[str, ...] = ()


@dataclass(frozen=True)
class Region:
    """One run of levels in the strip that shows what was visible."""

    name: str
    levels: tuple[tuple[str, bool], ...]


def report_html(report: Report, films: Sequence[Film], galleries: Sequence[Gallery] = ()) -> str:
    """The whole page as text: the radiographs, then other galleries. Nothing in it depends on time, machine or folder."""
    from jinja2 import Environment, StrictUndefined

    here = files("spondyl.report")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["deg"] = degrees
    template = page.from_string((here / "page.html").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        films=films,
        galleries=galleries,
        title=TITLES[report.verb],
        regions=regions(report.levels),
        style=(here / "style.css").read_text(encoding="utf-8"),
        version=__version__,
        disclaimer=DISCLAIMER,
    )


def degrees(value: float | None, signed: bool = False) -> str:
    """An angle for the table: one decimal, a real minus sign, a dash where there is none."""
    if value is None:
        return "–"
    rounded = round(value, 1) + 0.0
    text = f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"
    return f"{text}°".replace("-", "\N{MINUS SIGN}")


def regions(visible: Sequence[str]) -> tuple[Region, ...]:
    """Cervical, thoracic, lumbar, sacral levels and whether each was read; T13 and L6 only where they exist."""
    if not visible:
        return ()
    shown = [level for level in LEVELS if level not in ("T13", "L6") or level in visible]
    names = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}
    return tuple(
        Region(name, tuple((level, level in visible) for level in shown if level[0] == letter))
        for letter, name in names.items()
    )
