"""A SpineCurve as JSON: levels and float32 numbers written in full, null where the word has NaN."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.io.json_line import json_bytes, json_object
from spondyl.spine import SpineCurve

FRAME = "DICOM LPS, mm"
SHAPES: dict[str, tuple[int, ...]] = {"centres_mm": (3,), "axes": (3, 3), "sizes_mm": (3,), "endplates_mm": (2, 3, 3)}


def spine_bytes(spine: SpineCurve) -> bytes:
    """The spine as one line of JSON; `spine_of_bytes` gives it back bit for bit (float32)."""
    tensors = {name: _plain(getattr(spine, name)) for name in SHAPES}
    return json_bytes({"frame": FRAME, "levels": list(spine.levels), **tensors})


def spine_of_bytes(content: bytes, name: str = "spine.json") -> SpineCurve:
    """The spine of such a line.

    Raises:
        ValueError: where it is damaged, or SpineCurve refuses what it says.
    """
    raw = json_object(content, name)
    try:
        levels = raw["levels"]
        if not isinstance(levels, list) or not all(isinstance(level, str) for level in levels):
            raise ValueError("levels are not a list of names")
        parts = [_tensor(raw[key], (len(levels), *shape), key) for key, shape in SHAPES.items()]
    except KeyError as error:
        raise ValueError(f"{name} lacks {error}; it is damaged or of another kind") from None
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    return SpineCurve(tuple(levels), *parts)


def _plain(values: Tensor) -> object:
    flat = values.detach().cpu().double().tolist()
    return _nested(flat)


def _nested(value: object) -> object:
    if isinstance(value, list):
        return [_nested(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tensor(value: object, shape: tuple[int, ...], name: str) -> Float[Tensor, "*n"]:
    flat = list(_flat(value))
    if len(flat) != math.prod(shape):
        raise ValueError(f"{name} holds {len(flat)} numbers; wanted {math.prod(shape)}")
    return torch.tensor(flat, dtype=torch.float32).reshape(shape)


def _flat(value: object) -> Iterable[float]:
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    elif value is None:
        yield math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    else:
        raise ValueError(f"{value!r} stands where a number goes")
