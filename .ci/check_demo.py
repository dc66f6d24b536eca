"""Check what `make demo` wrote: a page that needs no network, and Cobb angles within half a degree of the designed ones."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LARGEST_ERROR_DEG = 0.5
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


def faults(folder: Path) -> list[str]:
    """What is wrong with a demo's folder, one sentence each; empty where nothing is."""
    page, record = folder / "report.html", folder / "report.json"
    absent = [str(path) for path in (page, record) if not path.is_file()]
    if absent:
        return [f"the demo wrote no {path}" for path in absent]
    return [*page_faults(page.read_text(encoding="utf-8")), *angle_faults(record.read_text(encoding="utf-8"))]


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
    found = faults(folder)
    for fault in found:
        print(f"demo: {fault}", file=sys.stderr)
    if not found:
        worst = summary((folder / "report.json").read_text(encoding="utf-8"))
        print(f"demo: the page stands alone and the coronal angles are right; largest errors in degrees: {worst}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
