"""JSON that is the same bytes for the same content, and readers that say in one line what is wrong with a foreign one."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def json_bytes(content: Mapping[str, object]) -> bytes:
    """One JSON object on one line, keys sorted, ASCII. Raises ValueError for NaN or infinity."""
    return (json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def json_object(content: bytes, name: str) -> dict[str, object]:
    """The JSON object in some bytes. Raises ValueError where there is none."""
    try:
        value = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object; it is damaged")
    return value


@dataclass(frozen=True)
class Fields:
    """The fields of one object, each asked for by its kind. Every method raises ValueError where it is another one."""

    raw: Mapping[str, object]
    name: str

    def text(self, key: str) -> str:
        """A text."""
        return _is(str, self._have(key), key, self.name, "a text")

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self._have(key)
        if isinstance(value, bool):
            raise ValueError(f"{self.name}: {key} is {value!r}; wanted a whole number")
        return _is(int, value, key, self.name, "a whole number")

    def flag(self, key: str) -> bool:
        """True or false."""
        return _is(bool, self._have(key), key, self.name, "true or false")

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._have(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{self.name}: {key} is {value!r}; wanted a finite number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """A finite number, or null."""
        return None if self._have(key) is None else self.number(key)

    def text_or_none(self, key: str) -> str | None:
        """A text, or null."""
        return None if self._have(key) is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(_is(str, value, key, self.name, "a list of texts") for value in self.things(key))

    def things(self, key: str) -> list[object]:
        """A list of anything."""
        return _is(list, self._have(key), key, self.name, "a list")

    def inner(self, key: str) -> "Fields":
        """An object inside this one."""
        return Fields(_is(dict, self._have(key), key, self.name, "an object"), f"{self.name}: {key}")

    def inners(self, key: str) -> list["Fields"]:
        """A list of objects."""
        return [
            Fields(_is(dict, value, key, self.name, "a list of objects"), f"{self.name}: {key} {i}")
            for i, value in enumerate(self.things(key))
        ]

    def _have(self, key: str) -> object:
        if key not in self.raw:
            raise ValueError(f"{self.name} lacks {key}; it is damaged or of another kind")
        return self.raw[key]


def _is(kind: type[T], value: object, key: str, name: str, wanted: str) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{name}: {key} is {value!r}; wanted {wanted}")
    return value
