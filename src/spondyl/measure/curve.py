"""A SpineCurve read off a labelled CT: every body's centre, axes, size and endplates, and what was not to be had.

World LPS, mm. Posterior elements are told from the body by the spinal canal, so they do not pull on it; an endplate is
a robust plane through the central 80 % of the body's end, moved outwards to its rim. Nothing is extrapolated: a level
that is cut or cannot be read is left out, and a sentence says so.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from spondyl.images import Volume
from spondyl.measure.body import Body, find_body
from spondyl.measure.coverage import Finding, judge
from spondyl.measure.first_axes import first_frames
from spondyl.measure.level_mask import Frame, LevelMask, frame_along, level_masks
from spondyl.measure.sacrum import SacralEndplate, find_sacral_endplate
from spondyl.spine import LEVEL_LABELS, LEVELS, SpineCurve

# C1 is a ring without a body and C2's dens stands where its superior endplate would be.
NO_BODY = ("C1", "C2")


@dataclass(frozen=True, eq=False)
class Reading:
    """The spine read off a label map.

    Args:
        spine: the levels that could be read, float32. The centre of a body is midway between its endplates' centres,
            its cranial axis the mean of their normals, its posterior axis points to the canal. S1 has its superior
            endplate only: its centre is that endplate's, its height and inferior endplate NaN.
        quality: one number in [0, 1] a level: visible share of the endplates, times the share of their columns that
            agree with the plane, less for a missing canal, a broken label, a suspected collapse.
        visible: share of the superior and inferior endplate inside the scan; NaN for S1's inferior one.
        heights_mm: anterior, middle and posterior height a level; NaN for S1.
        step_deg: tilt that one voxel makes across each endplate. Tilts of endplates that lie along the grid are known
            no better than to a part of it, and smaller reversals of tilt may be the grid's.
        notes: sentences for the user, cranial to caudal. Empty where nothing was odd.
    """

    spine: SpineCurve
    quality: Float[Tensor, "l"]
    visible: Float[Tensor, "l 2"]
    heights_mm: Float[Tensor, "l 3"]
    step_deg: Float[Tensor, "l"]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.spine.levels)
        for name, shape in (("quality", (n,)), ("visible", (n, 2)), ("heights_mm", (n, 3)), ("step_deg", (n,))):
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} has shape {got}; wanted {shape} for {n} levels")


def curve_from_labels(volume: Volume) -> Reading:
    """The spine in a volume's labels (STRUCTURE_LABELS), without looking at its HU. Deterministic.

    Raises:
        ValueError: where the volume has no labels, no vertebra among them, or none that can be read.
    """
    if volume.labels is None:
        raise ValueError("the volume has no labels; give a label map (VerSe numbering, 8 = T1 to 24 = L5)")
    values = tuple(LEVEL_LABELS[level] for level in LEVELS)
    labels = volume.labels.detach().cpu().numpy()
    found = level_masks(labels, volume.world_from_voxel.detach().cpu().double().numpy(), values)
    masks = {level: found[LEVEL_LABELS[level]] for level in LEVELS if LEVEL_LABELS[level] in found}
    if not masks:
        raise ValueError("labels hold no vertebra; wanted VerSe numbers (1-7 cervical, 8-19 thoracic, 20-25 lumbar)")
    frames, notes = first_frames(masks)
    findings = judge(_bodies(masks, frames), masks)
    sentences = (*notes, *(sentence for f in findings for sentence in f.notes))
    if all(f.found is None for f in findings):
        raise ValueError(f"no vertebra can be read: {' '.join(sentences)}")
    return _reading(findings, sentences)


def _bodies(masks: dict[str, LevelMask], frames: dict[str, Frame]) -> dict[str, Body | SacralEndplate | None]:
    """What was found in each label; None where nothing was."""
    bodies: dict[str, Body | SacralEndplate | None] = {}
    lowest = None
    for level, mask in masks.items():
        if level == "S1":
            bodies[level] = None if lowest is None else find_sacral_endplate(mask, lowest)
        elif level in NO_BODY:
            bodies[level] = None
        else:
            bodies[level] = lowest = find_body(mask, frames[level])
    return bodies


def _reading(findings: list[Finding], notes: tuple[str, ...]) -> Reading:
    kept = [f for f in findings if f.found is not None]
    rows = [_row(f.found) for f in findings if f.found is not None]
    spine = SpineCurve(
        tuple(f.level for f in kept),
        *(torch.tensor(np.stack(column), dtype=torch.float32) for column in zip(*rows, strict=True)),
    )
    return Reading(
        spine=spine,
        quality=torch.tensor([f.quality for f in kept], dtype=torch.float32),
        visible=torch.tensor(np.stack([f.visible for f in kept]), dtype=torch.float32),
        heights_mm=torch.tensor(np.stack([f.heights_mm for f in kept]), dtype=torch.float32),
        step_deg=torch.tensor([f.step_deg for f in kept], dtype=torch.float32),
        notes=notes,
    )


def _row(
    found: Body | SacralEndplate,
) -> tuple[Float[ndarray, "3"], Float[ndarray, "3 3"], Float[ndarray, "3"], Float[ndarray, "2 3 3"]]:
    """Centre, axes, size and endplates of one level."""
    if isinstance(found, Body):
        frame = found.own_frame()
        return frame.centre_mm, frame.axes, found.size_mm(), found.endplates_mm()
    end = found.endplate_mm()
    frame = frame_along(end[0], found.plane.normal() @ found.frame.axes, found.frame.axes[1])
    size = np.array([*(2 * found.outline.half_mm), np.nan])
    return end[0], frame.axes, size, np.stack([end, np.full((3, 3), np.nan)])
