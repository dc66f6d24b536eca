"""Draw docs/figures/coordinates.svg: where the source stands, what two films show, and three beams.

Usage: python docs/figures/coordinates.py [FILE]

Every place in the figure is computed by `View`, so the picture and the code cannot disagree.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from spondyl.geometry import BEAMS, View

INK, SOFT, LEFT, SPINE = "#222222", "#9aa5b1", "#c2410c", "#1d4ed8"
SHAPE_PX, SPACING_MM = (700, 460), (1.5, 1.5)


def ring_mm(centre_mm: tuple[float, float, float], width_mm: float, depth_mm: float) -> Tensor:
    """A horizontal ellipse, 60 points: one slice of the body."""
    phi = torch.linspace(0, 2 * torch.pi, 60)
    x, y, z = centre_mm
    return torch.stack([x + width_mm * phi.cos(), y + depth_mm * phi.sin(), torch.full_like(phi, z)], -1)


def body_mm() -> list[list[Tensor]]:
    """Slices of a standing figure: trunk, head, and a nose in front; world LPS mm."""
    z = torch.linspace(-330, 220, 40)
    widths = 150 + 25 * torch.cos((z + 60) / 110)
    trunk = [ring_mm((0, 0, float(h)), float(w), float(w) * 0.62) for h, w in zip(z, widths, strict=True)]
    heights = torch.linspace(-89.9, 89.9, 41)
    radii = (90**2 - heights**2).sqrt() * 0.85
    head = [ring_mm((0, -10, 330 + float(h)), float(r), float(r) * 1.15) for h, r in zip(heights, radii, strict=True)]
    nose = [ring_mm((0, -100, 325 + d), 9 - abs(d) / 2, 26 - 1.6 * abs(d)) for d in (-14.0, 0.0, 14.0)]
    return [trunk, head, nose]


def spine_mm() -> Tensor:
    """A line with a right thoracic and a left lumbar curve, a kyphosis and a lordosis; world LPS mm."""
    z = torch.linspace(-280, 240, 80)
    return torch.stack([-22 * torch.sin((z - 20) / 85), 45 + 16 * torch.cos((z - 90) / 90), z], -1)


def view_from(angle_deg: float) -> View:
    return View.around((0, 0, 20), angle_deg=angle_deg, pixel_spacing_mm=SPACING_MM, shape_px=SHAPE_PX)


def draw_film(axes: Axes, angle_deg: float, title: str) -> None:
    """What one view shows, drawn with rows growing down and columns growing to the right."""
    view = view_from(angle_deg)
    for part in body_mm():
        rings = torch.stack([view.project_points(ring) for ring in part])
        low, high = (rings[range(len(part)), rings[..., 1].argsort(1)[:, end]] for end in (0, -1))
        edge = torch.cat([low, high.flip(0)])
        axes.fill(edge[:, 1], edge[:, 0], color="#dfe5ec")
    line = view.project_points(spine_mm())
    axes.plot(line[:, 1], line[:, 0], color=SPINE, lw=3)
    v, u = view.project_points(torch.tensor([[130.0, 0.0, 120.0]]))[0].tolist()
    axes.plot(u, v, "o", ms=16, color="white", mec=LEFT)
    axes.text(u, v, "L", color=LEFT, ha="center", va="center", weight="bold")
    h, w = SHAPE_PX
    axes.plot([0, w, w, 0, 0], [0, 0, h, h, 0], color=INK, lw=1)
    arrow = {"arrowstyle": "->", "color": INK, "lw": 1.6}
    axes.annotate("", (180, -22), (0, -22), arrowprops=arrow)
    axes.annotate("", (-22, 180), (-22, 0), arrowprops=arrow)
    axes.text(190, -22, "u, columns", va="center", fontsize=9)
    axes.text(-22, 190, "v, rows", rotation=90, ha="center", va="top", fontsize=9)
    axes.set(title=title, xlim=(-60, w + 20), ylim=(h + 20, -60), aspect="equal")
    axes.axis("off")


def draw_room(axes: Axes) -> None:
    """The patient from above, looking down on the head, with the source and detector of four azimuths."""
    ring = ring_mm((0, 0, 0), 300, 200)
    axes.fill(ring[:, 0], ring[:, 1], color="#eef2f6", ec=SOFT)
    axes.plot([-20, 0, 20], [-199, -235, -199], color=SOFT)
    axes.text(0, -165, "front", ha="center", va="center", color=SOFT)
    for angle, name in ((0, "PA"), (90, "left lateral"), (180, "AP"), (270, "right lateral")):
        view = View.around((0, 0, 0), angle_deg=angle, source_to_detector_mm=1100, source_to_centre_mm=720,
                           shape_px=(1, 560), pixel_spacing_mm=(1, 1))  # fmt: skip
        m = view.world_from_detector
        source, middle, u = m[:3, 3] - 1100 * m[:3, 2], m[:3, 3], m[:3, 0]
        ends = torch.stack([middle - 280 * u, middle + 280 * u])
        strong = angle in (0, 90)
        colour = INK if strong else SOFT
        axes.plot(ends[:, 0], ends[:, 1], color=colour, lw=3 if strong else 1.5)
        axes.plot(*source[:2], "o", color=colour)
        if strong:
            for end in ends:
                axes.plot([source[0], end[0]], [source[1], end[1]], color=SOFT, lw=0.8)
            axes.annotate(
                "", ends[1][:2].tolist(), middle[:2].tolist(), arrowprops={"arrowstyle": "->", "color": LEFT, "lw": 2}
            )
            axes.text(*(middle + 110 * u + 55 * m[:3, 2])[:2].tolist(), "u", color=LEFT, ha="center", va="center")
        away = torch.tensor([0.0, 95.0]) if m[0, 2].abs() < 0.5 else torch.tensor([0.0, 120.0])
        axes.text(*(source[:2] + away * (-1 if angle == 180 else 1)).tolist(), f"{name}\n{angle}°", color=colour,
                  ha="center", va="center", fontsize=9)  # fmt: skip
    arrow = {"arrowstyle": "->", "color": SPINE, "lw": 2}
    for tip, place, name in (((220, 0), (150, -40), "+x left"), ((0, 150), (140, 110), "+y posterior")):
        axes.annotate("", tip, (0, 0), arrowprops=arrow)
        axes.text(*place, name, color=SPINE, ha="center", va="center", fontsize=9)
    axes.text(-15, 25, "+z up", color=SPINE, fontsize=9, ha="right", va="center")
    # with the patient's front at the bottom, the patient's left is on the right
    axes.set(title="From above: azimuth of the source", aspect="equal", xlim=(-930, 930), ylim=(-930, 930))
    axes.axis("off")


def draw_beams(axes: Axes) -> None:
    """Rays of one column of pixels, from the side, in the three beams."""
    for row, beam in enumerate(BEAMS):
        view = View.around((0, 0, 0), beam=beam, shape_px=(7, 1), pixel_spacing_mm=(60, 1))
        starts, vectors = view.rays()
        top = -620.0 * row
        for start, vector in zip(starts[:, 0], vectors[:, 0], strict=True):
            end = start + vector
            axes.plot([-start[1], -end[1]], [top + start[2], top + end[2]], color=SOFT, lw=0.9)
            axes.plot(-start[1], top + start[2], "o", color=INK, ms=5 if beam != "parallel" else 0)
        wall = starts[:, 0] + vectors[:, 0]
        axes.plot(-wall[:, 1], top + wall[:, 2], color=INK, lw=3)
        axes.text(-1600, top + 235, beam, weight="bold", ha="left")
    axes.set(title="From the side: three beams", xlim=(-1700, 450), ylim=(-1500, 320))
    axes.axis("off")


def main(path: Path) -> None:
    """Draw all four panels into one SVG that is the same on every run."""
    matplotlib.rcParams.update({"svg.hashsalt": "spondyl", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure, axes = plt.subplots(2, 2, figsize=(10, 11), height_ratios=(1, 1.15), layout="constrained")
    draw_room(axes[0, 0])
    draw_beams(axes[0, 1])
    draw_film(axes[1, 0], 0, "PA: seen from behind")
    draw_film(axes[1, 1], 90, "Left lateral: faces right")
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
