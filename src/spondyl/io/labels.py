"""Label maps of other people in our numbering: which scheme a file uses, and its values mapped to STRUCTURE_LABELS."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Shaped

from spondyl.images import STRUCTURE_LABELS
from spondyl.io.label_schemes import SCHEMES, SIDES
from spondyl.io.label_shape import LabelShape, label_shapes
from spondyl.spine import LEVEL_LABELS, LEVELS

__all__ = ["SCHEMES", "Guess", "Mapped", "guess_scheme", "map_labels"]

_LEVEL_OF = {value: level for level, value in LEVEL_LABELS.items()}

# A vertebra with its processes stands at most 12 mm (standard deviation along z) in the scans that were at hand, a
# sacrum 20; a whole spine in one label 67, all bodies at one height in a map of parts 20.
_TALLEST_MM = 18.0
_TALLEST_SACRUM_MM = 40.0
# Centres of neighbouring vertebrae stand 13 (cervical) to 45 mm (lumbar) apart, L5 to a whole sacrum 60.
_NEAREST_MM, _FURTHEST_MM = 6.0, 75.0
# Ribs lie beside the spine; a label whose centre is nearer to the midline is none.
_RIB_ASIDE_MM = 15.0
# Left and right structures are told apart when their mean positions differ by this.
_SIDES_APART_MM = 20.0
# A file may hold this share of voxels that its scheme does not know.
_STRAY_SHARE = 0.01


@dataclass(frozen=True)
class Guess:
    """A numbering and one sentence why."""

    scheme: str
    reason: str


@dataclass(frozen=True, eq=False)
class Mapped:
    """A label map in our numbering, and sentences for the user."""

    labels: Integer[np.ndarray, "z y x"]
    scheme: str
    notes: tuple[str, ...]


def map_labels(
    values: Shaped[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"], scheme: str, name: str
) -> Mapped:
    """A file's label values as STRUCTURE_LABELS (int16), under a scheme of SCHEMES or "auto".

    Values that the scheme does not know become background, and are named in a note.

    Raises:
        ValueError: for an unknown scheme, one that cannot be guessed, numbers that are no labels, an empty map.
    """
    if scheme not in ("auto", *SCHEMES):
        raise ValueError(f"label scheme is {scheme!r}; wanted auto or one of {', '.join(SCHEMES)}")
    labels = _whole_numbers(values, name)
    shapes = label_shapes(labels, world_from_voxel)
    if not shapes:
        raise ValueError(f"{name} holds no label at all (every voxel is 0); wanted vertebra labels")
    notes: list[str] = []
    if scheme == "auto":
        guess = _guess(shapes, name)
        scheme = guess.scheme
        notes.append(f"labels read as {scheme}: {guess.reason}")
    table = SCHEMES[scheme]
    strays = {v: s.voxels for v, s in shapes.items() if v not in table}
    if len(strays) == len(shapes):
        raise ValueError(
            f"no label of {name} ({_runs(shapes)}) is in the {scheme} numbering; pass another --label-scheme"
        )
    if strays:
        notes.append(
            f"label values {_runs(strays)} ({sum(strays.values())} voxels) are not in the {scheme} numbering: "
            "taken as background"
        )
    notes.extend(_side_notes(shapes, scheme))
    lookup = np.zeros(int(labels.max()) + 1, dtype=np.int16)
    for value in shapes:
        lookup[value] = table.get(value, 0)
    return Mapped(lookup[labels], scheme, tuple(notes))


def guess_scheme(labels: Integer[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> Guess:
    """The numbering that a label map uses, by its values and by where they lie (world LPS mm).

    A scheme fits when it knows the values, when what it calls a vertebra has the size of one, when its vertebrae follow
    each other at vertebral distances, and its ribs lie aside. Schemes that read this file alike need no choice.

    Raises:
        ValueError: where none fits or where fitting ones read the file differently; pass --label-scheme then.
    """
    shapes = label_shapes(_whole_numbers(labels, "the label map"), world_from_voxel)
    return _guess(shapes, "the label map")


def _guess(shapes: Mapping[int, LabelShape], name: str) -> Guess:
    faults = {scheme: _fault(shapes, table) for scheme, table in SCHEMES.items()}
    fitting = [scheme for scheme, fault in faults.items() if not fault]
    if not fitting:
        why = "; ".join(f"{scheme}: {fault}" for scheme, fault in faults.items())
        raise ValueError(f"labels {_runs(shapes)} of {name} fit no known numbering ({why}); pass --label-scheme")
    readings = {scheme: tuple(SCHEMES[scheme].get(v, 0) for v in sorted(shapes)) for scheme in fitting}
    runs = [s for s in fitting if _is_run(_level_centres(shapes, SCHEMES[s]))]
    fitting = runs or fitting
    levels = {s: len(_level_centres(shapes, SCHEMES[s])) for s in fitting}
    # three labels do not lie like a run of vertebrae by chance: one lone vertebra among organs is the worse reading
    most = max(levels.values())
    fitting = [s for s in fitting if most < 3 or levels[s] >= most - 1]
    if len({readings[s] for s in fitting}) > 1:
        raise ValueError(
            f"labels {_runs(shapes)} of {name} can be read as {' or as '.join(fitting)}; pass --label-scheme with one"
        )
    order = sorted(_level_centres(shapes, SCHEMES[fitting[0]]), key=LEVELS.index)
    reason = f"values {_runs(shapes)} are known there and {order[0]} to {order[-1]} lie as vertebrae do"
    if len(fitting) > 1:
        reason += f" ({', '.join(fitting[1:])} would read them alike)"
    return Guess(fitting[0], reason)


def _fault(shapes: Mapping[int, LabelShape], table: Mapping[int, int]) -> str:
    """Why a file cannot be in this numbering; empty where it can."""
    strays = [v for v in shapes if v not in table]
    total = sum(s.voxels for s in shapes.values())
    if sum(shapes[v].voxels for v in strays) > _STRAY_SHARE * total:
        return f"value {strays[0]} is unknown"
    centres = _level_centres(shapes, table)
    if not centres:
        return "no vertebra"
    for value, shape in shapes.items():
        level = _LEVEL_OF.get(table.get(value, 0))
        limit = _TALLEST_SACRUM_MM if level == "S1" else _TALLEST_MM
        if level and shape.spread_mm[2] > limit:
            return f"{value} is too tall for {level}"
    order = sorted(centres, key=LEVELS.index)
    for a, b in itertools.pairwise(order):
        steps = LEVELS.index(b) - LEVELS.index(a)
        apart = float(np.linalg.norm(centres[a] - centres[b]))
        if not _NEAREST_MM <= apart <= _FURTHEST_MM * steps:
            return f"{a} and {b} would lie {apart:.0f} mm apart"
    if len(order) > 3 and 0.2 < _descent(centres) < 0.8:
        return "vertebrae out of order"
    middle = float(np.mean([c[0] for c in centres.values()]))
    for value, shape in shapes.items():
        aside = abs(float(shape.centre_mm[0]) - middle)
        if table is not SCHEMES["spondyl"] and table.get(value) == STRUCTURE_LABELS["rib"] and aside < _RIB_ASIDE_MM:
            return f"{value} is no rib"
    return ""


def _level_centres(shapes: Mapping[int, LabelShape], table: Mapping[int, int]) -> dict[str, Float[np.ndarray, "3"]]:
    """World centre of each level under a table; values that share a level are pooled by their voxels."""
    pooled: dict[str, list[LabelShape]] = {}
    for value, shape in shapes.items():
        level = _LEVEL_OF.get(table.get(value, 0))
        if level and bool(np.isfinite(shape.centre_mm).all()):
            pooled.setdefault(level, []).append(shape)
    return {
        level: np.average([s.centre_mm for s in found], axis=0, weights=[s.voxels for s in found])
        for level, found in pooled.items()
    }


def _is_run(levels: Iterable[str]) -> bool:
    """Whether no level is skipped (T13 and L6, which few people have, aside)."""
    present = sorted(LEVELS.index(level) for level in levels)
    skipped = [level for a, b in itertools.pairwise(present) for level in LEVELS[a + 1 : b]]
    return set(skipped) <= {"T13", "L6"}


def _descent(centres: Mapping[str, Float[np.ndarray, "3"]]) -> float:
    """Share of neighbouring levels of which the caudal one lies lower: 1 upright, 0 upside down, 1 for a single level."""
    order = sorted(centres, key=LEVELS.index)
    falls = [float(centres[a][2]) > float(centres[b][2]) for a, b in itertools.pairwise(order)]
    return sum(falls) / len(falls) if falls else 1.0


def _side_notes(shapes: Mapping[int, LabelShape], scheme: str) -> tuple[str, ...]:
    """The names left and right of a scheme against where their voxels lie: no anatomy needed, so this is sure."""
    if scheme not in SIDES:
        return ()
    left, right = (
        [shapes[v] for v in side if v in shapes and bool(np.isfinite(shapes[v].centre_mm).all())]
        for side in (SIDES[scheme].left, SIDES[scheme].right)
    )
    if not left or not right:
        return ()
    x_left, x_right = (
        float(np.average([s.centre_mm[0] for s in side], weights=[s.voxels for s in side])) for side in (left, right)
    )
    if x_left - x_right > -_SIDES_APART_MM:
        return ()
    return (
        f"labels that {scheme} calls left lie {x_right - x_left:.0f} mm to the right of those it calls right: the volume is "
        "mirrored or turned about its long axis (sure)",
    )


def _whole_numbers(values: Shaped[np.ndarray, "z y x"], name: str) -> Integer[np.ndarray, "z y x"]:
    if values.dtype.kind == "f":
        if not bool(np.isfinite(values).all()) or float(np.abs(values - np.round(values)).max()) > 1e-3:
            raise ValueError(f"{name} holds fractions; wanted whole label values (is it a CT or a probability map?)")
        values = np.round(values)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"{name} runs from {low:g} to {high:g}; wanted label values from 0 on (is it a CT?)")
    return values.astype(np.int32 if high > 255 else np.uint8)


def _runs(values: Mapping[int, object]) -> str:
    """Text like "16-24, 26" for whole numbers."""
    order = sorted(values)
    starts = [v for v in order if v - 1 not in values]
    ends = [v for v in order if v + 1 not in values]
    parts = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join(parts[:12]) + (" ..." if len(parts) > 12 else "")
