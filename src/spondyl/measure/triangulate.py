"""The spine in space from its corners in two calibrated views: every endplate as an ellipse, by least squares.

A corner is an end of the projected silhouette of an elliptical endplate (`SpineCurve.project`), so the rays of two views
do not meet in one rim point. Each endplate is solved for its centre, the two tilts of its normal, half width and half
depth: seven unknowns from eight numbers. What two outlines cannot show is how far a vertebra has turned about its own
axis; that is taken from `rotation_deg`, or as none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.measure.silhouette import mm_on_detector_per_mm, rays_through, silhouette_px
from spondyl.spine import LEVELS, Corners, SpineCurve

# Below this the depth of a point rests on differences of fewer than sin 30 = half of what each view sees.
LEAST_ANGLE_DEG = 30.0
STEPS, FIRST_DAMPING = 25, 1e-3
DIFFERENCE = 1e-5
SETTLED = 1e-6  # a step this small in mm, radians and logarithms is none


@dataclass(frozen=True, eq=False)
class Triangulation:
    """A spine from two views, and how well the views agree.

    Args:
        spine: the levels seen in both, float32. A centre lies midway between its endplates' centres, S1's on its endplate.
        residual_px: root mean square distance between the given corners and those of the solved endplates, pixels, a
            level. Eight numbers fix seven unknowns, so it tells little of noise; it is large where the views show
            different levels under one name or the patient moved.
        notes: one sentence for every level that is left out.
    """

    spine: SpineCurve
    residual_px: Float[Tensor, "l"]
    notes: tuple[str, ...]


def triangulate(first: Corners, second: Corners, *, rotation_deg: Mapping[str, float] | None = None) -> Triangulation:
    """The spine that both pictures show; a level or an endplate that one of them lacks is left out and named.

    Args:
        first, second: corners with views, of one patient who stood still. Confidences weigh one view against the other.
        rotation_deg: axial rotation of levels, body towards patient left positive (`rotation_deg` of a spine, or Stokes's
            from the pedicles); 0 where none is said. Chords of the two pictures come back whatever it is; tilts of normals
            of turned and leaning vertebrae are then off (SD 0.7, at worst 6 degrees in surgical virtual patients).

    Raises:
        ValueError: for corners without a view, views whose rows run less than 30 degrees apart, no level in common.
    """
    views = _views(first, second)
    notes = _lacking(first, second)
    pairs = _plates_in_both(first, second)
    if not pairs:
        raise ValueError("the two pictures share no endplate; give corners of the same levels in both")
    turn = torch.tensor([math.radians((rotation_deg or {}).get(level, 0.0)) for level, _ in pairs], dtype=torch.float64)
    seen = torch.stack([_corners_of(c, pairs) for c in (first, second)], dim=1)
    weight = torch.stack([_confidence_of(c, pairs) for c in (first, second)], dim=1)
    solved = _solve(_first_guess(seen, views, turn), seen, weight, views, turn)
    error = (_corners(solved, views, turn) - seen).square().sum(-1).mean(dim=(1, 2))
    return _assembled(pairs, _plates(solved, turn), turn, error, notes)


def _views(first: Corners, second: Corners) -> tuple[View, View]:
    if first.view is None or second.view is None:
        raise ValueError("corners without a view cannot be triangulated; give both their View")
    rows = [c.world_from_detector[..., :3, 0].double() for c in (first.view, second.view)]
    apart = math.degrees(math.acos(min(abs(float(rows[0] @ rows[1])), 1.0)))
    if apart < LEAST_ANGLE_DEG:
        raise ValueError(
            f"the views are {apart:.0f} degrees apart; wanted at least {LEAST_ANGLE_DEG:.0f} (PA and lateral)"
        )
    return first.view.to(dtype=torch.float64), second.view.to(dtype=torch.float64)


# -- which endplates --


def _plate_seen(corners: Corners, level: str, end: int) -> bool:
    if level not in corners.levels:
        return False
    return bool(torch.isfinite(corners.corners_px[corners.levels.index(level), 2 * end : 2 * end + 2]).all())


def _plates_in_both(first: Corners, second: Corners) -> list[tuple[str, int]]:
    """(level, 0 superior or 1 inferior) of vertebrae whole in both pictures, S1's superior endplate among them."""
    found = []
    for level in LEVELS:
        ends = (0,) if level == "S1" else (0, 1)
        if all(_plate_seen(c, level, e) for c in (first, second) for e in ends):
            found += [(level, e) for e in ends]
    return found


def _lacking(first: Corners, second: Corners) -> tuple[str, ...]:
    notes = []
    for level in LEVELS:
        for corners, other, name in ((first, second, "first"), (second, first, "second")):
            if level in corners.levels and level not in other.levels:
                notes.append(f"{level} is seen in the {name} view only and left out.")
        if level in first.levels and level in second.levels:
            ends = ("superior",) if level == "S1" else ("superior", "inferior")
            gone = [
                f"its {end} endplate is not seen in the {name} view"
                for k, end in enumerate(ends)
                for corners, name in ((first, "first"), (second, "second"))
                if not _plate_seen(corners, level, k)
            ]
            if gone:
                notes.append(f"{level} is left out: {' and '.join(gone)}.")
    return tuple(notes)


def _corners_of(corners: Corners, pairs: list[tuple[str, int]]) -> Float[Tensor, "n 2 2"]:
    rows = [corners.corners_px[corners.levels.index(level), 2 * e : 2 * e + 2] for level, e in pairs]
    return torch.stack(rows).double().cpu()


def _confidence_of(corners: Corners, pairs: list[tuple[str, int]]) -> Float[Tensor, "n"]:
    rows = [float(corners.confidence[corners.levels.index(level)]) for level, _ in pairs]
    return torch.tensor(rows, dtype=torch.float64).clamp(min=1e-3)


# -- one endplate: centre (3), coronal and sagittal tilt (radians), log of half width and half depth --


def _frames(p: Float[Tensor, "n 7"], turn: Float[Tensor, "n"]) -> Float[Tensor, "n 3 3"]:
    """Rows left, posterior, cranial of R = Ry(coronal) Rx(sagittal) Rz(axial)."""
    t, s = p[:, 3], p[:, 4]
    zero = torch.zeros_like(t)
    left = torch.stack([t.cos(), zero, -t.sin()], dim=-1)
    back = torch.stack([t.sin() * s.sin(), s.cos(), t.cos() * s.sin()], dim=-1)
    up = torch.stack([t.sin() * s.cos(), -s.sin(), t.cos() * s.cos()], dim=-1)
    c, d = turn.cos()[:, None], turn.sin()[:, None]
    return torch.stack([c * left + d * back, c * back - d * left, up], dim=1)


def _plates(p: Float[Tensor, "n 7"], turn: Float[Tensor, "n"]) -> Float[Tensor, "n 3 3"]:
    half = p[:, 5:].exp()[..., None] * _frames(p, turn)[:, :2]
    return torch.cat([p[:, None, :3], half], dim=1)


def _corners(p: Float[Tensor, "n 7"], views: tuple[View, View], turn: Float[Tensor, "n"]) -> Float[Tensor, "n 2 2 2"]:
    plates = _plates(p, turn)
    return torch.stack([silhouette_px(plates, view) for view in views], dim=1)


def _first_guess(
    seen: Float[Tensor, "n 2 2 2"], views: tuple[View, View], turn: Float[Tensor, "n"]
) -> Float[Tensor, "n 7"]:
    """Closed form, without perspective across a plate: chords' middles meet in the centre, chords span the plate."""
    centre = _nearest([rays_through(v, seen[:, k].mean(1)) for k, v in enumerate(views)])
    chords, across = [], []
    for k, view in enumerate(views):
        spacing = seen.new_tensor(view.pixel_spacing_mm)
        half = (seen[:, k, 1] - seen[:, k, 0]) / 2 * spacing / mm_on_detector_per_mm(view, centre)
        u, v = view.world_from_detector[:3, 0], view.world_from_detector[:3, 1]
        chords.append(half[:, 1:] * u + half[:, :1] * v)
        across.append((half[:, 1], u))
    normal = torch.nn.functional.normalize(torch.linalg.cross(chords[0], chords[1]), dim=-1)
    normal = normal * torch.where(normal[:, 2:] < 0, -1.0, 1.0)
    tilts = torch.stack([torch.atan2(normal[:, 0], normal[:, 2]), torch.asin(-normal[:, 1])], dim=-1)
    frames = _frames(torch.cat([centre, tilts, torch.zeros_like(tilts)], dim=1), turn)
    shares = torch.stack([(frames[:, :2] @ u).square() for _, u in across], dim=1)
    squares = torch.stack([h.square() for h, _ in across], dim=1)
    halves = torch.linalg.lstsq(shares, squares[..., None]).solution[..., 0]
    # noise can ask for a plate of no depth: start from a half to twice what the views show
    halves = halves.clamp(squares.amin(1, keepdim=True) / 4, squares.amax(1, keepdim=True) * 4)
    return torch.cat([centre, tilts, halves.log() / 2], dim=1)


def _nearest(rays: list[tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]]) -> Float[Tensor, "n 3"]:
    """The point nearest to both rays."""
    eye = torch.eye(3, dtype=rays[0][0].dtype)
    away = [eye - d[:, :, None] * d[:, None, :] for _, d in rays]
    right = away[0] @ rays[0][0][..., None] + away[1] @ rays[1][0][..., None]
    point: Tensor = torch.linalg.solve(away[0] + away[1], right)
    return point[..., 0]


def _solve(
    p: Float[Tensor, "n 7"],
    seen: Float[Tensor, "n 2 2 2"],
    weight: Float[Tensor, "n 2"],
    views: tuple[View, View],
    turn: Float[Tensor, "n"],
) -> Float[Tensor, "n 7"]:
    """Damped Gauss-Newton (Levenberg 1944, Marquardt 1963), every endplate with its own damping."""
    root = weight.sqrt()[:, :, None, None]
    damping = torch.full((len(p), 1), FIRST_DAMPING, dtype=p.dtype)
    r = (root * (_corners(p, views, turn) - seen)).flatten(1)
    for _ in range(STEPS):
        jacobian = (root[..., None] * _slopes(p, views, turn)).flatten(1, 3)
        normal = jacobian.mT @ jacobian
        damped = normal + torch.diag_embed(damping * normal.diagonal(dim1=1, dim2=2))
        step = -torch.linalg.solve(damped, (jacobian.mT @ r[..., None]))[..., 0]
        after = (root * (_corners(p + step, views, turn) - seen)).flatten(1)
        better: Bool[Tensor, "n 1"] = (after.square().sum(1) < r.square().sum(1))[:, None]
        p, r = torch.where(better, p + step, p), torch.where(better, after, r)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-12, 1e6)
        if float(step.abs().max()) < SETTLED:
            break
    return p


def _slopes(p: Float[Tensor, "n 7"], views: tuple[View, View], turn: Float[Tensor, "n"]) -> Float[Tensor, "n 2 2 2 7"]:
    """Derivatives of the corners by the seven numbers, central differences in one batch: good to 1e-8 of themselves."""
    moves = torch.cat([torch.eye(7), -torch.eye(7)]).to(p) * DIFFERENCE
    moved = (p[None] + moves[:, None]).flatten(0, 1)
    up, down = _corners(moved, views, turn.repeat(len(moves))).reshape(2, 7, len(p), 2, 2, 2)
    return torch.movedim((up - down) / (2 * DIFFERENCE), 0, -1)


def _assembled(
    pairs: list[tuple[str, int]],
    plates: Float[Tensor, "n 3 3"],
    turn: Float[Tensor, "n"],
    error: Float[Tensor, "n"],
    notes: tuple[str, ...],
) -> Triangulation:
    levels = tuple(dict.fromkeys(level for level, _ in pairs))
    ends = plates.new_full((len(levels), 2, 3, 3), math.nan)
    errors, turns = plates.new_full((len(levels), 2), math.nan), plates.new_zeros(len(levels))
    for row, (level, end) in enumerate(pairs):
        at = levels.index(level)
        ends[at, end], errors[at, end], turns[at] = plates[row], error[row], turn[row]
    half = ends[:, :, 1:].norm(dim=-1).nanmean(dim=1)
    up = torch.linalg.cross(ends[:, :, 1], ends[:, :, 2])
    up = torch.nn.functional.normalize(torch.nn.functional.normalize(up, dim=-1).nanmean(dim=1), dim=-1)
    tilts = torch.stack([torch.atan2(up[:, 0], up[:, 2]), torch.asin(-up[:, 1])], dim=-1)
    frames = _frames(torch.cat([torch.zeros_like(up), tilts, half], dim=1), turns)
    height = (ends[:, 0, 0] - ends[:, 1, 0]).norm(dim=-1, keepdim=True)
    parts = (ends[:, :, 0].nanmean(dim=1), frames, torch.cat([2 * half, height], dim=1), ends)
    spine = SpineCurve(levels, *(part.float() for part in parts))
    return Triangulation(spine, errors.nanmean(dim=1).sqrt().float(), notes)
