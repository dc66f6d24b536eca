"""Which levels of a label map can be believed: cut by the field, broken, collapsed, too small; one sentence each."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from spondyl.measure.body import Body
from spondyl.measure.endplates import heights_mm
from spondyl.measure.level_mask import LevelMask
from spondyl.measure.sacrum import SacralEndplate

# Least share of each endplate that must end inside the scan [engineering].
LEAST_VISIBLE = 0.8
# Least share of the rims inside the scan: a half body's ellipse has 0.82 of its rim inside, a whole one's all [measured].
LEAST_RIM = 0.9
# Height below this share of the neighbours' at the end of the label map, with a flat end: a cut, not a bone.
CUT_SHARE = 0.8
# Strays below this share of a label are not worth a sentence [engineering].
NOTED_STRAYS = 0.005
# Genant's grade 2 begins at a quarter of the height lost (Genant 1993, J Bone Miner Res 8:1137).
COLLAPSE_SHARE = 0.75
# Bodies outside these bounds, mm, are not human vertebrae from infancy on: height, then width [engineering].
HEIGHT_MM = (4.0, 50.0)
WIDTH_MM = (8.0, 75.0)


@dataclass(frozen=True, eq=False)
class Finding:
    """One level's verdict: what can be believed (None: the level is left out), how good it is, and sentences about it."""

    level: str
    found: Body | SacralEndplate | None
    quality: float
    visible: Float[ndarray, "2"]
    heights_mm: Float[ndarray, "3"]
    step_deg: float
    notes: tuple[str, ...]


def judge(bodies: dict[str, Body | SacralEndplate | None], masks: dict[str, LevelMask]) -> list[Finding]:
    """A finding for every labelled level, cranial to caudal."""
    first = {level: _alone(level, found, masks[level]) for level, found in bodies.items()}
    levels = [level for level, f in first.items() if isinstance(f.found, Body)]
    for i, level in enumerate(levels):
        beside = [first[n] for n in levels[max(i - 1, 0) : i] + levels[i + 1 : i + 2]]
        first[level] = _beside(first[level], masks[level], beside, at_end=i in (0, len(levels) - 1))
    return list(first.values())


def _alone(level: str, found: Body | SacralEndplate | None, mask: LevelMask) -> Finding:
    """The verdict on one level, for itself."""
    if found is None:
        return _dropped(level, _why_not_found(level, mask))
    if isinstance(found, Body):
        visible, heights, fit = (
            np.array(found.visible),
            heights_mm(found.columns, found.outlines),
            min(p.inlier_share for p in found.planes),
        )
        size = found.size_mm()
        if not (HEIGHT_MM[0] < size[2] < HEIGHT_MM[1] and WIDTH_MM[0] < size[0] < WIDTH_MM[1]):
            wide, _, high = size
            return _dropped(level, f"{level} reads {wide:.0f} mm wide and {high:.0f} mm high, which no body is")
    else:
        visible, heights, fit = np.array([found.visible, np.nan]), np.full(3, np.nan), found.plane.inlier_share
    seen = float(np.nanmin(visible))
    if seen < LEAST_VISIBLE:
        which = "superior" if visible[0] == seen else "inferior"
        return _dropped(level, f"{level} is cut by the edge of the scan ({seen:.0%} of its {which} endplate is inside)")
    if isinstance(found, Body) and found.inside < LEAST_RIM:
        return _dropped(level, f"{level} is cut by the edge of the scan (its body reaches out of it)")
    notes, trust = _oddities(level, found, mask, seen)
    frame, width = found.frame, 2 * (found.outlines[0] if isinstance(found, Body) else found.outline).half_mm[0]
    step = float(np.degrees(np.arctan2(mask.thickness_mm(frame.axes[2]), width)))
    return Finding(level, found, seen * fit * trust, visible, heights, step, notes)


def _dropped(level: str, why: str) -> Finding:
    return Finding(level, None, 0.0, np.zeros(2), np.full(3, np.nan), 0.0, (f"{why}; it is left out.",))


def _why_not_found(level: str, mask: LevelMask) -> str:
    if level in ("C1", "C2"):
        return f"{level} has no body between two endplates"
    if level == "S1":
        return "The sacrum's endplate was not found below a lumbar body"
    return f"No body was found in the label of {level} ({mask.voxels} voxels)"


def _oddities(level: str, found: Body | SacralEndplate, mask: LevelMask, seen: float) -> tuple[tuple[str, ...], float]:
    """What is odd about a level that stays, and a factor of trust."""
    notes, trust = [], 1.0
    if mask.pieces > 1:
        notes.append(f"The label of {level} is in {mask.pieces} pieces.")
        trust *= 0.8
    if mask.stray_share > NOTED_STRAYS:
        notes.append(f"{mask.stray_share:.1%} of the label of {level} lie apart from it and were dropped.")
    if seen < 1:
        notes.append(f"{seen:.0%} of an endplate of {level} is inside the scan; the plane rests on that part.")
    elif isinstance(found, Body) and mask.touches_field_edge():
        notes.append(f"{level} touches the edge of the scan with its processes; both endplates are inside.")
    if isinstance(found, Body) and found.canal is None:
        notes.append(f"The label of {level} has no closed arch; its axial rotation is not measured but taken as zero.")
        trust *= 0.7
    return tuple(notes), trust


def _beside(finding: Finding, mask: LevelMask, beside: list[Finding], at_end: bool) -> Finding:
    """The verdict in the light of the neighbours' heights: cut flat by a former crop, or collapsed."""
    if not isinstance(finding.found, Body) or not beside:
        return finding
    level, (front, middle, back) = finding.level, finding.heights_mm
    usual = float(np.mean([f.heights_mm[[0, 2]].max() for f in beside]))
    if not np.isfinite(front + middle + back + usual):
        return finding
    share = max(front, back) / usual
    if at_end and share < CUT_SHARE and _ends_flat(finding.found, mask):
        return _dropped(level, f"{level} ends flat at {share:.0%} of its neighbour's height, as if cropped")
    if min(share, min(front, middle, back) / max(front, back)) >= COLLAPSE_SHARE:
        return finding
    sentence = (
        f"{level} may be collapsed or half labelled: heights {front:.0f}, {middle:.0f}, {back:.0f} mm "
        f"(front, middle, back) beside {usual:.0f} mm."
    )
    return replace(finding, quality=0.6 * finding.quality, notes=(*finding.notes, sentence))


def _ends_flat(body: Body, mask: LevelMask) -> bool:
    """Whether all columns of one end stop in one layer of the scan's grid; bone is never that flat."""
    cols = body.columns
    box_from_world = np.linalg.inv(mask.world_from_box)
    central = body.outlines[0].radius(cols.left_mm, cols.posterior_mm) <= 0.7
    for height in (cols.top_mm, cols.bottom_mm):
        use = central & np.isfinite(height)
        world = body.frame.to_world(np.stack([cols.left_mm[use], cols.posterior_mm[use], height[use]], axis=-1))
        layer = world @ box_from_world[:3, :3].T
        if use.any() and layer.std(axis=0).min() < 0.12:
            return True
    return False
