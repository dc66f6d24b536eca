"""Landmarks of one virtual patient as JSON: the arches that an ultrasound shows, and the points of the back. World LPS mm.

{"arches": {"levels": [...], "transverse_tips_mm": [l 2 3], "laminae_mm": [l 2 3], "spinous_tips_mm": [l 3]},
 "back": {"C7": [x, y, z], ...}}         pairs are (patient's left, right)
"""

import torch
from torch import Tensor

from spondyl.io.json_line import Fields, json_bytes, json_object
from spondyl.sim.patient import BackLandmarks, UltrasoundLandmarks


def landmark_bytes(arches: UltrasoundLandmarks, back: BackLandmarks) -> bytes:
    """One line of JSON; positions to a thousandth of a millimetre."""
    first = {
        "levels": list(arches.levels),
        "transverse_tips_mm": _rounded(arches.transverse_tips_mm),
        "laminae_mm": _rounded(arches.laminae_mm),
        "spinous_tips_mm": _rounded(arches.spinous_tips_mm),
    }
    return json_bytes({"arches": first, "back": dict(zip(back.names, _rounded(back.points_mm), strict=True))})


def arches_of(content: bytes, name: str) -> UltrasoundLandmarks:
    """The arches of such a line.

    Raises:
        ValueError: where it is damaged.
    """
    f = Fields(json_object(content, name), name).inner("arches")
    levels = f.texts("levels")
    return UltrasoundLandmarks(
        levels,
        _tensor(f, "transverse_tips_mm", (len(levels), 2, 3)),
        _tensor(f, "laminae_mm", (len(levels), 2, 3)),
        _tensor(f, "spinous_tips_mm", (len(levels), 3)),
    )


def _rounded(points: Tensor) -> list[object]:
    return list(points.double().mul(1000).round().div(1000).tolist())


def _tensor(f: Fields, key: str, shape: tuple[int, ...]) -> Tensor:
    try:
        out = torch.tensor(f.things(key), dtype=torch.float32)
    except (TypeError, ValueError):
        out = torch.zeros(0)
    if tuple(out.shape) != shape or not bool(torch.isfinite(out).all()):
        raise ValueError(f"{f.name}: {key} is not {' x '.join(str(n) for n in shape)} finite numbers; it is damaged")
    return out
