"""A scanned person's own spine in another coronal curve: bones and disc lengths stay, the discs alone take the bend.

Tilt control as in `patient.alignment`: t = atan2(n_x, n_z) of an endplate's cranial normal is chosen at the ends of each
curve and runs monotonically between them, so every Cobb angle is exact by design. Here bodies are rigid, so a vertebra has
one tilt and what its endplates add is its own shape. World LPS, mm, degrees.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from spondyl.sim.patient.alignment import curve_shares, frame
from spondyl.sim.patient.posture import Curve, Posture, rotation_of, turn_sign
from spondyl.sim.posing import own_endplates, spine_at
from spondyl.spine import SpineCurve

# A disc keeps this share of its height at its lower edge; rigid bones would meet otherwise [engineering].
LEAST_EDGE_SHARE = 0.2
# Beyond the outer curves the tilt goes back to this share of the curve's, as above the first curve in `patient.alignment`.
END_SHARE = 0.4
# A straight spine meets a tilted sacrum over this many discs.
STRAIGHTENED_OVER = 3


def with_cobb(spine: SpineCurve, *, curves: Sequence[Curve], balance_mm: float | None = None) -> SpineCurve:
    """The same spine bent to coronal curves, float32.

    Each curve's Cobb angle, superior endplate of `upper` against inferior endplate of `lower` (normals projected on the
    coronal plane), is exact. Kept: the shape of every vertebra, the length of every disc between its endplates' centres,
    each vertebra's projected sagittal tilt, the place of the lowest level and, where it is the sacrum, its tilt. Replaced:
    the spine's own coronal curves; no curve at all makes it a straight line, down to the last discs above a sacrum. Added:
    axial rotation about each vertebra's own axis, in proportion to its distance from the curve's chord (Stokes 1989).

    Args:
        spine: with its levels in the world; gaps between them count as long discs.
        curves: cranial to caudal, sides alternating. `rotation_deg` None is the mean for the Cobb angle, 0 none.
            `body_share` is not used: scanned bodies are not wedged.
        balance_mm: the highest level to the left of the lowest one; None keeps the spine's own. It is met as far as the
            curves' tilts allow.

    Raises:
        ValueError: for fewer than two levels, an end vertebra that is not there, overlapping curves, or an angle that the
            discs cannot take.
    """
    if len(spine.levels) < 2:
        raise ValueError(f"the spine has {len(spine.levels)} level; wanted at least two to bend it between")
    posture = Posture(curves=tuple(curves))
    for curve in posture.curves:
        if spine.index(curve.upper) >= spine.index(curve.lower) or curve.lower == "S1":
            raise ValueError(f"curve {curve.upper}-{curve.lower}: S1 has no inferior endplate; end it above")
    chain = _chain(spine)
    rotation = np.zeros(len(spine.levels))
    for _ in range(2):
        tilts = _balanced(chain, posture, rotation, balance_mm)
        posed = chain.posed(tilts, rotation)
        rotation = _rotations(posture, posed, chain)
    tilts = _balanced(chain, posture, rotation, balance_mm)
    _check_discs(chain, tilts, posture)
    return chain.posed(tilts, rotation)


@dataclass(frozen=True, eq=False)
class _Chain:
    """A spine taken apart: each vertebra in its own frame, each disc in the frame midway between its neighbours'.

    Args:
        spine: as it was.
        tilts_deg: coronal, sagittal (both projected) and axial angle of each frame, R = Ry Rx Rz.
        ends: endplates in the vertebra's own frame.
        discs: from the superior endplate's centre of the level below to the inferior one's of the level above.
        level_with_deg: frame tilt of a level less that of the level below, at which the disc is no wedge.
        reach_deg: how far a disc can wedge from there to either side.
    """

    spine: SpineCurve
    tilts_deg: Float[ndarray, "l 3"]
    ends: Float[ndarray, "l 2 3 3"]
    discs: Float[ndarray, "d 3"]
    level_with_deg: Float[ndarray, "d"]
    reach_deg: Float[ndarray, "d"]

    def frames(self, coronal_deg: Float[ndarray, "l"], added_axial_deg: Float[ndarray, "l"]) -> Float[ndarray, "l 3 3"]:
        """World axes of every level as columns."""
        angles = zip(coronal_deg, self.tilts_deg[:, 1], self.tilts_deg[:, 2] + added_axial_deg, strict=True)
        return np.stack([frame(*map(float, row)) for row in angles])

    def posed(self, coronal_deg: Float[ndarray, "l"], added_axial_deg: Float[ndarray, "l"]) -> SpineCurve:
        """The spine in other tilts, built up from its lowest level."""
        frames = self.frames(coronal_deg, added_axial_deg)
        return spine_at(self.spine, frames, _centres(self, frames))

    def normal(self, row: int, end: int) -> Float[ndarray, "3"]:
        """Cranial normal of an endplate in its vertebra's frame."""
        return np.asarray(np.cross(self.ends[row, end, 1], self.ends[row, end, 2]))

    def tilt_for(self, row: int, end: int, wanted_deg: float, added_axial_deg: float) -> float:
        """The frame's tilt at which an endplate has the wanted one."""
        tilt = wanted_deg
        for _ in range(30):
            tilt += wanted_deg - self.end_tilt(row, end, tilt, added_axial_deg)
        return tilt

    def end_tilt(self, row: int, end: int, tilt_deg: float, added_axial_deg: float) -> float:
        """The tilt of an endplate whose vertebra's frame has this one."""
        _, sagittal, axial = self.tilts_deg[row]
        return _coronal(frame(tilt_deg, float(sagittal), float(axial) + added_axial_deg) @ self.normal(row, end))


def _coronal(normal: Float[ndarray, "3"]) -> float:
    return float(np.degrees(np.arctan2(normal[0], normal[2])))


def _chain(spine: SpineCurve) -> _Chain:
    axes, ends = spine.axes.double().cpu().numpy(), spine.endplates_mm.double().cpu().numpy()
    angles = np.stack([_angles(r.T) for r in axes])
    low, high = ends[:-1, 1], ends[1:, 0]
    steps = low[:, 0] - high[:, 0]
    between = _midway(np.swapaxes(axes, 1, 2))
    wedge = [_coronal(np.cross(a[1], a[2])) - _coronal(np.cross(b[1], b[2])) for a, b in zip(low, high, strict=True)]
    width = np.minimum(np.linalg.norm(low[:, 1], axis=-1), np.linalg.norm(high[:, 1], axis=-1))
    return _Chain(
        spine,
        angles,
        own_endplates(spine),
        np.einsum("dji,dj->di", between, steps),
        -np.diff(angles[:, 0]) - wedge,
        np.degrees(np.arctan((1 - LEAST_EDGE_SHARE) * np.linalg.norm(steps, axis=-1) / width)),
    )


def _angles(r: Float[ndarray, "3 3"]) -> Float[ndarray, "3"]:
    """Projected coronal and sagittal tilt and the axial rotation of R = Ry Rx Rz: the inverse of `alignment.frame`."""
    coronal, sagittal = _coronal(r[:, 2]), float(np.degrees(np.arctan2(-r[1, 2], r[2, 2])))
    turned = frame(coronal, sagittal, 0.0).T @ r
    return np.array([coronal, sagittal, np.degrees(np.arctan2(turned[1, 0], turned[0, 0]))])


def _midway(frames: Float[ndarray, "l 3 3"]) -> Float[ndarray, "d 3 3"]:
    """The frame halfway between each level and the next below."""
    upper, lower = Rotation.from_matrix(frames[:-1]), Rotation.from_matrix(frames[1:])
    half = Rotation.from_rotvec((lower.inv() * upper).as_rotvec() / 2)
    return np.asarray((lower * half).as_matrix())


def _balanced(
    chain: _Chain, posture: Posture, rotation: Float[ndarray, "l"], balance_mm: float | None
) -> Float[ndarray, "l"]:
    """Frame tilts whose first one puts the highest level where it is wanted over the lowest."""
    own = chain.spine.centres_mm[0, 0] - chain.spine.centres_mm[-1, 0]
    target = float(own) if balance_mm is None else balance_mm
    low, high = -30.0, 30.0
    if posture.curves:
        size = posture.curves[0].cobb_deg * (1 if posture.curves[0].side == "right" else -1)
        low, high = sorted((-0.4 * size, 0.9 * size))
    for _ in range(30):
        middle = (low + high) / 2
        centres = _centres(chain, chain.frames(_tilts(chain, posture, rotation, middle), rotation))
        low, high = (middle, high) if centres[0, 0] - centres[-1, 0] < target else (low, middle)
    return _tilts(chain, posture, rotation, (low + high) / 2)


def _tilts(chain: _Chain, posture: Posture, rotation: Float[ndarray, "l"], first_deg: float) -> Float[ndarray, "l"]:
    """Frame tilts of all levels when the superior endplate of the first curve has this one."""
    last = len(rotation) - 1
    fixed: dict[int, float] = {}
    value = first_deg
    for curve in posture.curves:
        upper, lower = chain.spine.index(curve.upper), chain.spine.index(curve.lower)
        if upper not in fixed:
            fixed[upper] = chain.tilt_for(upper, 0, value, rotation[upper])
        value = chain.end_tilt(upper, 0, fixed[upper], rotation[upper])
        value -= curve.cobb_deg if curve.side == "right" else -curve.cobb_deg
        fixed[lower] = chain.tilt_for(lower, 1, value, rotation[lower])
    on_sacrum = chain.spine.levels[-1] == "S1"
    if not posture.curves:
        fixed = {0: first_deg, max(last - STRAIGHTENED_OVER * on_sacrum, 0): first_deg}
    fixed.setdefault(last, float(chain.tilts_deg[last, 0]) if on_sacrum else END_SHARE * value)
    fixed.setdefault(0, END_SHARE * first_deg)
    tilts = np.zeros(last + 1)
    rows = sorted(fixed)
    tilts[rows[0]] = fixed[rows[0]]
    for start, end in itertools.pairwise(rows):
        drops = _drops(chain, start, end, fixed[start] - fixed[end])
        tilts[start + 1 : end + 1] = fixed[start] - np.cumsum(drops)
    return tilts


def _drops(chain: _Chain, start: int, end: int, total_deg: float) -> Float[ndarray, "d"]:
    """Tilt lost across each disc between two levels: flat-ended cubic along the spine, within what each disc can take."""
    discs = slice(start, end)
    along = np.linalg.norm(np.diff(chain.spine.centres_mm.double().numpy()[start : end + 1], axis=0), axis=-1)
    edges = np.concatenate([[0.0], np.cumsum(along)]) / along.sum()
    share = np.diff(edges**2 * (3 - 2 * edges))
    low, high = (
        chain.level_with_deg[discs] - chain.reach_deg[discs],
        chain.level_with_deg[discs] + chain.reach_deg[discs],
    )
    drops = np.clip(share * total_deg, low, high)
    for _ in range(20):
        left = total_deg - drops.sum()
        free = (drops < high - 1e-9) if left > 0 else (drops > low + 1e-9)
        if abs(left) < 1e-9 or not free.any():
            break
        drops = np.clip(drops + np.where(free, share / share[free].sum(), 0.0) * left, low, high)
    # What the discs cannot take goes to them all the same; the caller is told which one closes.
    return np.asarray(drops + (total_deg - drops.sum()) / len(drops))


def _check_discs(chain: _Chain, tilts: Float[ndarray, "l"], posture: Posture) -> None:
    """Raises ValueError where a disc would close at one edge, and says how far the curve it belongs to can go."""
    over = np.abs(-np.diff(tilts) - chain.level_with_deg) - chain.reach_deg
    worst = int(over.argmax())
    if over[worst] < 1e-3:
        return
    levels = chain.spine.levels
    disc = f"{levels[worst]}/{levels[worst + 1]}"
    for curve in posture.curves:
        upper, lower = chain.spine.index(curve.upper), chain.spine.index(curve.lower)
        if upper <= worst < lower:
            raise ValueError(
                f"disc {disc} would close: the discs of {curve.upper}-{curve.lower} take about "
                f"{chain.reach_deg[upper:lower].sum():.0f} degrees, not {curve.cobb_deg:.0f}; ask for less or for more levels"
            )
    raise ValueError(
        f"disc {disc} would close: too few levels between the curve and the end of the spine to come back upright; "
        "ask for less or end the curve elsewhere"
    )


def _rotations(posture: Posture, posed: SpineCurve, chain: _Chain) -> Float[ndarray, "l"]:
    """Added axial rotation of each level, its front turned to the convexity."""
    rotation = np.zeros(len(posed.levels))
    # A scan stored back to front has its vertebrae's fronts the other way.
    facing = np.sign(np.cos(np.radians(chain.tilts_deg[:, 2])).sum())
    for curve, share in zip(posture.curves, curve_shares(posture, posed), strict=True):
        rotation += facing * turn_sign(curve) * rotation_of(curve) * share
    return rotation


def _centres(chain: _Chain, frames: Float[ndarray, "l 3 3"]) -> Float[ndarray, "l 3"]:
    """Centres of the levels, laid disc on body from the lowest upwards."""
    steps = np.einsum("dij,dj->di", _midway(frames), chain.discs)
    centres = np.zeros((len(frames), 3))
    centres[-1] = chain.spine.centres_mm[-1].double().cpu().numpy()
    for row in range(len(frames) - 2, -1, -1):
        top = centres[row + 1] + frames[row + 1] @ chain.ends[row + 1, 0, 0]
        centres[row] = top + steps[row] - frames[row] @ chain.ends[row, 1, 0]
    return centres
