"""Check what `make demo` wrote.

A page that needs no network; Cobb angles of the labelled CT within half a degree of the designed ones; and, where this tree
ships the reader of films, the main curve that it read off the PA film alone, beside the one that this very picture shows.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LARGEST_ERROR_DEG = 0.5
LARGEST_READING_ERROR_DEG = 5.0  # a surgeon repeats a Cobb angle within 4.9 degrees, 95 % (Morrissy 1990)
READER = Path(__file__).resolve().parents[1] / "src" / "spondyl" / "weights" / "xray_to_corners" / "model.safetensors"
SMALLEST_CURVE_DEG = 10.0  # a spine counts as curved from here on; a straight one would prove nothing
# Whatever a browser fetches by itself: src and href (xlink:href too), CSS url() and @import, srcset, with a host in it.
FETCHED = re.compile(
    r"""(?:\b(?:src|href|srcset|data|poster|action)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?)\s*((?:https?:)?//[^\s"'>)]+)""",
    re.IGNORECASE,
)
# The same attributes naming a file beside the page; data: and #anchors are inside it.
BESIDE = re.compile(
    r"""<(?:img|script|link|iframe|source|image)\b[^>]*?\b(?:src|href)\s*=\s*["'](?!data:|\#)([^"']+)""", re.I
)


def faults(folder: Path, *, reader: bool = False) -> list[str]:
    """What is wrong with a demo's folder, one sentence each; empty where nothing is.

    `reader`: the tree ships the reader of films, so its reading must be there.
    """
    page, record = folder / "report.html", folder / "report.json"
    absent = [str(path) for path in (page, record) if not path.is_file()]
    if absent:
        return [f"the demo wrote no {path}" for path in absent]
    text = record.read_text(encoding="utf-8")
    found = [*page_faults(page.read_text(encoding="utf-8")), *angle_faults(text)]
    return [*found, *reading_faults(text)] if reader else found


def page_faults(html: str) -> list[str]:
    """Why a page is not one file that opens without a network."""
    outside = [*FETCHED.findall(html), *BESIDE.findall(html)]
    found = [f"report.html fetches {address}" for address in dict.fromkeys(outside)]
    return found if "<html" in html.lower() else [*found, "report.html holds no page"]


@dataclass(frozen=True)
class Angle:
    """One angle of the report that was designed: in which plane, and how far the measured one is off."""

    name: str
    plane: str
    designed_deg: float
    error_deg: float


def designed_angles(text: str) -> list[Angle]:
    """The angles of report.json that have a designed value. Raises ValueError where the record has another form."""
    try:
        given = [angle for angle in json.loads(text)["angles"] if angle["truth_deg"] is not None]
        return [
            Angle(a["name"], a["plane"], float(a["truth_deg"]), float(a["angle_deg"]) - float(a["truth_deg"]))
            for a in given
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"an angle lacks {error!r}") from None


def angle_faults(text: str) -> list[str]:
    """Why the measured coronal angles do not confirm the designed ones, of which there must be one."""
    try:
        coronal = [angle for angle in designed_angles(text) if angle.plane == "coronal"]
    except ValueError as error:
        return [f"report.json has no angles with truth_deg and angle_deg ({error})"]
    if not any(angle.designed_deg > SMALLEST_CURVE_DEG for angle in coronal):
        return [f"report.json holds no designed coronal curve over {SMALLEST_CURVE_DEG} degrees"]
    return [
        f"{a.name}: off by {a.error_deg:.2f} from {a.designed_deg} degrees; wanted within {LARGEST_ERROR_DEG}"
        for a in coronal
        if not abs(a.error_deg) <= LARGEST_ERROR_DEG
    ]


def reading_faults(text: str) -> list[str]:
    """Why the main curve that was read off the PA film alone does not confirm the one that the picture shows."""
    try:
        read, own = main_read(text)
    except ValueError as error:
        return [f"report.json has no main curve read off the PA film alone ({error})"]
    if abs(read - own) <= LARGEST_READING_ERROR_DEG:
        return []
    return [
        f"read off the PA film alone: {read} degrees, the picture shows {own}; wanted within {LARGEST_READING_ERROR_DEG}"
    ]


def main_read(text: str) -> tuple[float, float]:
    """The main curve as read off the PA film alone, and the one that the picture shows. Raises ValueError without one."""
    try:
        record = json.loads(text)
        films = [film for film in record["film_readings"] if film["picture"] == "pa"]
        refused = [reason for film in films if film["verdict"] == "refused" for reason in film["reasons"]]
        if refused:
            raise ValueError(f"refused: {refused[0]}")
        read = [a for film in films for a in film["angles"] if a["main"] and a["plane"] == "coronal"]
        own = [a for a in record["angles"] if a["main"] and a["plane"] == "coronal"]
        return float(read[0]["angle_deg"]), float(own[0]["picture_deg"])
    except IndexError:
        raise ValueError("none was found") from None
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks {error!r}") from None


def summary(text: str) -> str:
    """The worst error of each plane, the planes that are not judged included."""
    worst: dict[str, Angle] = {}
    for angle in designed_angles(text):
        if abs(angle.error_deg) >= abs(worst.get(angle.plane, angle).error_deg):
            worst[angle.plane] = angle
    return ", ".join(f"{plane} {a.error_deg:+.2f} ({a.name})" for plane, a in worst.items())


def main() -> int:
    """Print each fault; the exit code is 1 where there is one."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
    found = faults(folder, reader=READER.is_file())
    for fault in found:
        print(f"demo: {fault}", file=sys.stderr)
    if not found:
        text = (folder / "report.json").read_text(encoding="utf-8")
        print(
            f"demo: the page stands alone and the coronal angles are right; largest errors in degrees: {summary(text)}"
        )
        if READER.is_file():
            read, own = main_read(text)
            print(f"demo: main curve read off the PA film alone {read:.1f} degrees; the picture shows {own:.1f}")
        else:
            print("demo: this tree ships no reader of films, so none was read alone")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
