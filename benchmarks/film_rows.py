"""Target 14: contrast, noise, sharpness and geometry of simulated radiographs, each in the sensor's own pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from cohort_rows import Array, Row, largest, mean, row

from spondyl.geometry import View
from spondyl.images import STRUCTURE_LABELS, Radiograph, Volume
from spondyl.pairs import Subject
from spondyl.sim.radiograph import RadiographSensor
from spondyl.spine import SpineCurve
from spondyl.xray.attenuation import materials
from spondyl.xray.detector import DETECTORS, blur, body, quanta_per_pixel
from spondyl.xray.expose import expose_areal, open_field
from spondyl.xray.project import project_channels

LUMBAR = ("L1", "L2", "L3", "L4")
PANEL = RadiographSensor("pa", machine="cone")
MUSCLE, LUNG = STRUCTURE_LABELS["muscle"], STRUCTURE_LABELS["lung"]
SHARPNESS = {"csi": "", "slot": "set to the published 0.45 at 1 lp/mm of slot scanners; the target is a flat panel's"}
LEAST_QUANTA = 100.0  # below it electronic noise and the logarithm's curvature count too


@dataclass(frozen=True)
class Film:
    """What was measured in one patient's PA exposures on the flat panel, natural logarithms of signal.

    Args:
        primary, measured: contrast of the lumbar bodies against the tissue beside them, without and with scatter (grid).
        bone_alone: primary contrast of the same bodies against the same rays with muscle in the bones' place.
        lung: abdomen beside the spine less lung, primary.
        lung_12cm: what muscle in the lungs' place adds, primary, for each 12 cm of path through lung.
        noise: SD of the signal over what its quanta allow.
        rise: height on a slot's detector over height in the patient, largest deviation from 1.
    """

    primary: float
    measured: float
    bone_alone: float
    lung: float
    lung_12cm: float
    noise: float
    rise: float


def measured(subject: Subject, *, generator: torch.Generator) -> Film:
    """One patient's film, taken apart."""
    view = PANEL.framing(subject)
    stuff, place = materials(subject.volume), subject.volume.world_from_voxel
    areal = project_channels(stuff.density_g_cm3, place, view) / 10
    boneless, airless = (
        project_channels(materials(filled(subject.volume, first, last)).density_g_cm3, place, view) / 10
        for first, last in ((1, 28), (LUNG, LUNG))
    )
    plain = replace(PANEL.exposure(), scatter=False, blur=False, noise=False)
    primary = expose_areal(areal, stuff.names, view, settings=plain)
    soft = expose_areal(boneless, stuff.names, view, settings=plain)
    full = expose_areal(airless, stuff.names, view, settings=plain)
    path = lung_path_mm(subject, view)
    deep = path > 0.6 * float(path.max())
    scattered = expose_areal(areal, stuff.names, view, settings=replace(plain, scatter=True))
    bodies = inner_boxes(subject.spine, view, LUMBAR)
    difference = replace(primary, optical_depth=primary.optical_depth - soft.optical_depth)
    return Film(
        contrast(primary, bodies),
        contrast(scattered, bodies),
        float(np.mean([float(picture_of(difference, b).median()) for b in bodies])),
        lung_step(primary, deep, bodies),
        float(((full.optical_depth - primary.optical_depth) / path * 120.0)[deep].median()),
        noise_share(areal, stuff.names, view, generator=generator),
        slot_rise(subject),
    )


def filled(volume: Volume, first: int, last: int) -> Volume:
    """The volume with muscle in place of the labels from first to last."""
    labels = labels_of(volume)
    gone = (labels >= first) & (labels <= last)
    return replace(volume, hu=torch.where(gone, 55.0, volume.hu), labels=labels.masked_fill(gone, MUSCLE))


def labels_of(volume: Volume) -> torch.Tensor:
    """The volume's labels. Raises ValueError where it has none."""
    if volume.labels is None:
        raise ValueError("the CT has no labels; wanted those of a virtual patient")
    return volume.labels


@dataclass(frozen=True)
class Box:
    """A vertebral body in a picture: rows of its lower half, columns of its middle, and how wide the body is, pixels."""

    rows: tuple[int, int]
    middle: float
    width: float


def inner_boxes(spine: SpineCurve, view: View, levels: Sequence[str]) -> list[Box]:
    """The lower halves of some bodies, where transverse processes do not reach."""
    corners = spine.project(view)
    out = []
    for level in levels:
        if level in corners.levels:
            c = corners.corners_px[corners.levels.index(level)].double()
            top, bottom = float(c[:2, 0].max()), float(c[2:, 0].min())
            rows = round(bottom - 0.45 * (bottom - top)), max(round(bottom - 0.15 * (bottom - top)), 1)
            out.append(
                Box((rows[0], max(rows[1], rows[0] + 1)), float(c[:, 1].mean()), float(c[:, 1].max() - c[:, 1].min()))
            )
    return out


def picture_of(film: Radiograph, box: Box, first: float = -0.3, last: float = 0.3) -> torch.Tensor:
    """The pixels of a box's rows between two columns, in widths of the body from its middle."""
    left, right = (round(box.middle + x * box.width) for x in (first, last))
    return film.optical_depth[box.rows[0] : box.rows[1], left : right + 1]


def contrast(film: Radiograph, boxes: Sequence[Box]) -> float:
    """Bodies less the tissue beside them: 0.65 to 0.85 of the body's width from its middle, both sides."""
    steps = []
    for b in boxes:
        beside = torch.cat([picture_of(film, b, -0.85, -0.65).flatten(), picture_of(film, b, 0.65, 0.85).flatten()])
        steps.append(float(picture_of(film, b).median() - beside.median()))
    return float(np.mean(steps))


def lung_step(film: Radiograph, deep: torch.Tensor, boxes: Sequence[Box]) -> float:
    """Abdomen beside the lumbar bodies less the lungs where they are deep."""
    abdomen = torch.cat([picture_of(film, b, s, s + 0.4).flatten() for b in boxes for s in (-1.2, 0.8)])
    return float(abdomen.median() - film.optical_depth[deep].median())


def lung_path_mm(subject: Subject, view: View) -> torch.Tensor:
    """Path through lung of every pixel's ray, mm."""
    lung = (labels_of(subject.volume) == LUNG).to(torch.float32)
    return project_channels(lung[None], subject.volume.world_from_voxel, view)[0]


def noise_share(areal: torch.Tensor, names: tuple[str, ...], view: View, *, generator: torch.Generator) -> float:
    """SD of two exposures' difference over sqrt(2), relative to 1 / sqrt(quanta of the pixel); blur off, which hides noise."""
    settings = replace(PANEL.exposure(), blur=False)
    clean = expose_areal(areal, names, view, settings=replace(settings, noise=False)).optical_depth
    signal = (-clean).exp()
    quanta = signal * quanta_per_pixel(view, settings.detector, open_field(signal, body(clean), settings))
    first, second = (
        (-expose_areal(areal, names, view, settings=settings, generator=generator).optical_depth).exp()
        for _ in range(2)
    )
    share = (first - second) / signal / math.sqrt(2) * quanta.sqrt()
    return float(share[body(clean) & (quanta > LEAST_QUANTA)].std())


def slot_rise(subject: Subject) -> float:
    """Heights between vertebrae on a slot's detector against the patient's: the largest deviation of the ratio from 1."""
    view = RadiographSensor("pa").framing(subject).to(dtype=torch.float64)
    centres = subject.spine.centres_mm.double()
    rows = view.project_points(centres)[:, 0] * view.pixel_spacing_mm[0]
    ratio = (rows[1:] - rows[0]) / (centres[0, 2] - centres[1:, 2])
    return float((ratio - 1).abs().max())


def mtf50_lp_mm(name: str, tilt_deg: float) -> float:
    """Where the transfer of a slanted edge, through the detector's blur, falls to one half."""
    pitch, half = 0.05, 512
    view = View.around((0.0, 0.0, 0.0), pixel_spacing_mm=(pitch, pitch), shape_px=(2 * half, 2 * half))
    x = (torch.arange(2 * half, dtype=torch.float64) - half) * pitch
    away = math.cos(math.radians(tilt_deg)) * x + math.sin(math.radians(tilt_deg)) * x[:, None]
    edge = (away / pitch + 0.5).clamp(0, 1)
    seen = blur(edge, view, DETECTORS[name])
    inside = away.abs() < 12.0
    bins = ((away[inside] + 12.0) / pitch).long()
    rise = torch.zeros(480, dtype=torch.float64).index_add_(0, bins, seen[inside]) / torch.bincount(bins, minlength=480)
    line = rise.diff()
    transfer = torch.fft.rfft(line, 8192).abs()
    transfer = transfer / transfer[0]
    f = torch.fft.rfftfreq(8192, pitch)
    k = int(torch.nonzero(transfer < 0.5)[0])
    part = (transfer[k - 1] - 0.5) / (transfer[k - 1] - transfer[k])
    return float(f[k - 1] + part * (f[k] - f[k - 1]))


def film_rows(films: Sequence[Film]) -> list[Row]:
    """Target 14."""

    def of(name: str) -> Array:
        return np.array([getattr(f, name) for f in films])

    rows = []
    for what, name, low, high in (
        ("ln contrast of lumbar bodies against what lies beside, primary", "primary", 0.2, 0.33),
        ("the same against muscle in the bones' place, primary", "bone_alone", 0.2, 0.33),
        ("ln contrast of lumbar bodies, with scatter and grid", "measured", 0.1, 0.2),
        ("ln of abdomen over lung, primary", "lung", 1.6, 2.4),
        ("ln of muscle over lung per 12 cm of lung, primary", "lung_12cm", 1.8, 2.2),
        ("noise SD times sqrt(quanta)", "noise", 0.9, 1.1),
    ):
        rows.append(row("14", f"film, {what}", low, high, of(name), mean))
    for name in ("csi", "slot"):
        found = np.array([mtf50_lp_mm(name, t) for t in (2.0, 3.0, 4.0, 5.0)])
        rows.append(
            row(
                "14",
                f"film, MTF50 of {DETECTORS[name].name}, lp/mm, n counts edges",
                1.0,
                1.5,
                found,
                mean,
                note=SHARPNESS[name],
            )
        )
    what = "film, z-magnification of the slot beam less 1, largest"
    return [*rows, row("14", what, 0.0, 1e-6, of("rise"), largest)]
