"""A spine's own vertebrae put elsewhere: every bone keeps its shape, only its frame changes. World LPS, mm."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from spondyl.spine import SpineCurve


def own_endplates(spine: SpineCurve) -> Float[ndarray, "l 2 3 3"]:
    """Every endplate (centre, left and posterior half-axis) in its vertebra's own frame, mm."""
    axes, ends = spine.axes.double().cpu().numpy(), spine.endplates_mm.double().cpu().numpy().copy()
    ends[:, :, 0] -= spine.centres_mm.double().cpu().numpy()[:, None]
    return np.asarray(ends @ np.swapaxes(axes, 1, 2)[:, None])


def spine_at(spine: SpineCurve, frames: Float[ndarray, "l 3 3"], centres_mm: Float[ndarray, "l 3"]) -> SpineCurve:
    """The spine's vertebrae in other frames (columns left, posterior, cranial), float32."""
    axes = np.ascontiguousarray(np.swapaxes(frames, 1, 2))
    ends = own_endplates(spine) @ axes[:, None]
    ends[:, :, 0] += centres_mm[:, None]
    centres32, axes32, ends32 = (torch.from_numpy(a).float() for a in (centres_mm, axes, ends))
    return SpineCurve(spine.levels, centres32, axes32, spine.sizes_mm.float().cpu(), ends32)


def posed_like(spine: SpineCurve, curve: SpineCurve) -> SpineCurve:
    """A spine's own vertebrae in the frames (centre, axes) of another curve.

    Levels that `curve` does not have move with their neighbours: in between by a share of both motions, by their place
    along the spine; beyond the ends with the last one.

    Raises:
        ValueError: for a level of `curve` that the spine has not, or none at all.
    """
    missing = [level for level in curve.levels if level not in spine.levels]
    if missing or not curve.levels:
        raise ValueError(
            f"the wanted spine has {' '.join(missing) or 'no level'}, the subject's has {spine.levels[0]} to "
            f"{spine.levels[-1]}; leave levels out that the subject has not"
        )
    rows = np.array([spine.index(level) for level in curve.levels])
    axes, centres = spine.axes.double().cpu().numpy(), spine.centres_mm.double().cpu().numpy()
    wanted, places = curve.axes.double().cpu().numpy(), curve.centres_mm.double().cpu().numpy()
    turns = Rotation.from_matrix(np.swapaxes(wanted, 1, 2) @ axes[rows])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centres, axis=0), axis=-1))])
    new_axes, new_centres = np.zeros_like(axes), np.zeros_like(centres)
    for row in range(len(axes)):
        k = int(np.clip(np.searchsorted(rows, row, side="right") - 1, 0, max(len(rows) - 2, 0)))
        pair = [k, min(k + 1, len(rows) - 1)]
        a, b = along[rows[pair]]
        share = 0.0 if a == b else float(np.clip((along[row] - a) / (b - a), 0, 1))
        turn = turns[k] * Rotation.from_rotvec(share * (turns[k].inv() * turns[pair[1]]).as_rotvec())
        carried = places[pair] + turns[pair].apply(centres[row] - centres[rows[pair]])
        new_axes[row] = turn.apply(axes[row])
        new_centres[row] = (1 - share) * carried[0] + share * carried[1]
    return spine_at(spine, np.swapaxes(new_axes, 1, 2), new_centres)
