"""Domain randomisation: a second draw of a sensor's own settings, each within the range that its field documents."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import torch

T = TypeVar("T")


def between(low: float, high: float) -> dict[str, float]:
    """The metadata of a field that may be drawn anew: uniform from `low` to `high`, in the field's own unit."""
    return {"low": low, "high": high}


def redraw(settings: T, *, generator: torch.Generator) -> T:
    """The same settings with every field that has a range (`between`) drawn anew, in the order of the fields.

    Fields without a range keep their value. `settings` is an instance of a dataclass.
    """
    drawn: dict[str, float] = {}
    for f in fields(settings):  # type: ignore[arg-type]
        if "low" in f.metadata:
            share = float(torch.rand((), generator=generator, device=generator.device))
            drawn[f.name] = f.metadata["low"] + share * (f.metadata["high"] - f.metadata["low"])
    return replace(settings, **drawn)  # type: ignore[type-var]


def check_settings(settings: object, *, positive: Sequence[str] = ()) -> None:
    """Refuse settings that describe no sensor.

    Raises:
        ValueError: for a number that is not finite, negative although its range is not, or not positive although named so.
    """
    for f in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, f.name)
        if not isinstance(value, int | float):
            continue
        if not math.isfinite(value):
            raise ValueError(f"{f.name} is {value}; wanted a finite number")
        if f.name in positive and value <= 0:
            raise ValueError(f"{f.name} is {value}; wanted a number above zero")
        if value < 0 <= f.metadata.get("low", -1.0):
            raise ValueError(f"{f.name} is {value}; wanted a number from 0 on")
