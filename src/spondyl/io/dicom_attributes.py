"""Values out of a DICOM header that may be damaged, with errors that name the file and the attribute."""

import numpy as np
from jaxtyping import Float
from pydicom import Dataset


def value_of(item: Dataset, keyword: str) -> object:
    """An attribute's value, or None where it is missing, empty or cannot be decoded."""
    try:
        value: object = item.get(keyword)
    except Exception:  # pydicom decodes a value when it is asked for, and meets damaged ones with errors of any kind
        return None
    return None if value is None or value == "" else value


def text(item: Dataset, keyword: str) -> str:
    """An attribute as one line of printable text, empty where it is missing."""
    value = value_of(item, keyword)
    return "" if value is None else "".join(c if c.isprintable() else " " for c in str(value)).strip()


def numbers(item: Dataset, keyword: str, count: int, name: str) -> Float[np.ndarray, "n"]:
    """`count` finite numbers of an attribute, float64. Raises ValueError where they are missing or are none."""
    try:
        value = value_of(item, keyword)
        values = np.atleast_1d(np.asarray(value if value is not None else [], dtype=np.float64))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{name} has a {keyword} that is not numeric; wanted {count} numbers") from None
    if values.size == 0:
        raise ValueError(f"{name} has no {keyword}; wanted a CT slice with its place and scale in space")
    if values.shape != (count,) or not bool(np.isfinite(values).all()):
        raise ValueError(f"{name} has {keyword} {values.tolist()}; wanted {count} finite numbers")
    return values


def whole(item: Dataset, keyword: str, name: str) -> int:
    """A positive whole number. Raises ValueError where it is missing or not one."""
    value = float(numbers(item, keyword, 1, name)[0])
    if value < 1 or value != int(value):
        raise ValueError(f"{name} has {keyword} {value:g}; wanted a positive whole number")
    return int(value)
