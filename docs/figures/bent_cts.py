"""Draw docs/figures/bent_cts.png: a virtual patient taken as a scan, bent, and how its tissue was squeezed and stretched.

Usage: python docs/figures/bent_cts.py [FILE]

No real scan is in the picture: what is bent is the CT and the labels of a virtual patient, read as any labelled CT is.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.pairs import Subject
from spondyl.sim.deform import bend
from spondyl.sim.patient import Curve, Posture, make_patient, rasterise
from spondyl.sim.radiograph import RadiographSensor
from spondyl.sim.real import subject_from_labels
from spondyl.sim.reposed import with_cobb
from spondyl.sim.warp import warp_between
from spondyl.spine import SpineCurve

SPACING_MM = 4.0
PIXEL_MM = 2.0
WANTED = (Curve("T6", "T12", 45.0, "right"), Curve("T12", "L4", 25.0, "left"))
ENDPLATE, CHORD = "#f59e0b", "#38bdf8"
CT_WINDOW_HU, FILM_WINDOW, VOLUME_RANGE = (-250.0, 650.0), (0.3, 5.5), (-1.0, 1.0)
FILM = RadiographSensor("pa", pixel_spacing_mm=1.5)


def sheet_mm(spine: SpineCurve, low: Tensor, high: Tensor) -> Tensor:
    """Points [v, u] of a frontal sheet that follows the spine forwards and backwards, seen from behind; world mm."""
    x = torch.arange(float(high[0]), float(low[0]), -PIXEL_MM)
    z = torch.arange(float(high[2]), float(low[2]), -PIXEL_MM)
    centres = spine.centres_mm.double().numpy()[::-1]
    y = torch.from_numpy(np.interp(z.numpy(), centres[:, 2], centres[:, 1])).float()
    return torch.stack([x.expand(len(z), -1), y[:, None].expand(-1, len(x)), z[:, None].expand(-1, len(x))], dim=-1)


def sampled(subject: Subject, points_mm: Tensor) -> Tensor:
    """HU at points, air outside the scan."""
    volume = subject.volume
    index = transform_points(torch.linalg.inv(volume.world_from_voxel.double()), points_mm.reshape(-1, 3).double())
    size = torch.tensor(list(reversed(volume.hu.shape)), dtype=torch.float64)
    grid = ((2 * index + 1) / size - 1).float().reshape(1, 1, *points_mm.shape[:2], 3)
    above_air = (volume.hu + 1000)[None, None]
    return torch.nn.functional.grid_sample(above_air, grid, align_corners=False)[0, 0, 0] - 1000


def draw_slice(axes: Axes, subject: Subject, sheet: Tensor, title: str) -> None:
    """The sheet with every endplate as a line."""
    axes.imshow(sampled(subject, sheet), cmap="gray", vmin=CT_WINDOW_HU[0], vmax=CT_WINDOW_HU[1])
    start = sheet[0, 0]
    for plate in subject.spine.endplates_mm.reshape(-1, 3, 3):
        ends = torch.stack([plate[0] - plate[1], plate[0] + plate[1]])
        axes.plot(*((start - ends) / PIXEL_MM)[:, [0, 2]].T, color=ENDPLATE, lw=0.8)
    axes.set_title(title, fontsize=9)


def draw_film(axes: Axes, subject: Subject, title: str) -> None:
    """A PA film with the corners that the truth projects to."""
    film = FILM(subject, generator=torch.Generator().manual_seed(0))
    axes.imshow(film.optical_depth, cmap="gray", vmin=FILM_WINDOW[0], vmax=FILM_WINDOW[1])
    for upper, lower in subject.spine.project(film.view).corners_px.reshape(-1, 2, 2, 2):
        for chord in (upper, lower):
            axes.plot(chord[:, 1], chord[:, 0], color=CHORD, lw=0.7)
    axes.set_title(title, fontsize=9)


def draw_volume_change(axes: Axes, before: Subject, after: Subject, sheet: Tensor) -> None:
    """Determinant of the motion's Jacobian on the unbent sheet, as powers of two; blank outside the body."""
    warp = warp_between(before.volume, before.spine, after.spine)
    every = sheet[::2, ::2]
    change = warp.volume_change(every.reshape(-1, 3)).reshape(every.shape[:2])
    body = sampled(before, every) > -500
    shown = np.ma.array(change.clamp_min(1e-3).log2().numpy(), mask=~body.numpy())
    picture = axes.imshow(shown, cmap="RdBu", vmin=VOLUME_RANGE[0], vmax=VOLUME_RANGE[1])
    bar = plt.colorbar(picture, ax=axes, orientation="horizontal", fraction=0.04, pad=0.02)
    bar.set_ticks([-1, 0, 1], labels=["half", "volume kept", "double"], fontsize=7)
    axes.set_title(f"det J, least {float(change[body].min()):.2f}", fontsize=9)


def main(path: Path) -> None:
    scan = rasterise(make_patient(Posture()), spacing_mm=SPACING_MM)
    before = subject_from_labels(scan)
    after = bend(before, with_cobb(before.spine, curves=WANTED))
    names = ", ".join(f"{c.cobb_deg:.0f}° {c.upper}-{c.lower}" for c in WANTED)
    corners = torch.cat([before.volume.corners_mm(), after.volume.corners_mm()])
    low, high = corners.amin(0), corners.amax(0)
    figure, axes = plt.subplots(1, 5, figsize=(13, 5.4), constrained_layout=True)
    draw_slice(axes[0], before, sheet_mm(before.spine, low, high), "the scan, along its spine")
    draw_slice(
        axes[1],
        after,
        sheet_mm(after.spine, low, high),
        f"bent: {names}",
    )
    draw_volume_change(axes[2], before, after, sheet_mm(before.spine, low, high))
    draw_film(axes[3], before, "PA film of the scan")
    draw_film(axes[4], after, "PA film, bent")
    for each in axes:
        each.axis("off")
    figure.savefig(path, dpi=80, metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
