"""Pairs without end for training without a disk: the same cases as a cohort's, one after another, on any device."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Shaped
from torch import Tensor

from spondyl.images import Volume
from spondyl.pairs import Pair
from spondyl.sim.make import fitted, images, names_of
from spondyl.sim.seeds import generator_of
from spondyl.simulate.case import case_seed, draw_subject, sensor_of
from spondyl.simulate.plan import Plan

# Height, depth and width that hold the trunk of 98 in 100 patients; smaller ones stand in air, of larger ones the rim is cut.
FIELD_MM = (720.0, 380.0, 420.0)


def simulate_pairs(
    source: str,
    target: str,
    *,
    seed: int,
    cohort: str = "screening",
    spacing_mm: float = 2.0,
    start: int = 0,
    device: str = "cpu",
    field_mm: tuple[float, float, float] | None = FIELD_MM,
) -> Iterator[Pair]:
    """Pairs of images of virtual patients, each with its exact spine, for ever.

    Pair k shows the patient of case k of a cohort with the same seed. Started at k, the sequence is the one from 0 without its
    first k pairs; so a run that was stopped goes on by its count, and worker j of m takes every m-th with `itertools.islice`.

    Args:
        source, target: modalities, see `sim.make.SENSORS`.
        seed, cohort, spacing_mm: as in `Plan`.
        start: the first pair's number.
        device: where volumes and images are made.
        field_mm: (z, y, x) of every CT, so that images of one modality have one shape (ultrasound has its own field); None
            keeps each patient's own field.

    Yields:
        Pairs; `pair.seed` is the case's seed.

    Raises:
        ValueError: at once, for settings that `Plan` refuses or a modality that is not installed.
    """
    plan = Plan(1, seed, cohort, names_of([source, target]), spacing_mm)
    if start < 0:
        raise ValueError(f"start is {start}; wanted a whole number from 0 on")
    if field_mm is not None and not all(s >= 50 for s in field_mm):
        raise ValueError(f"field_mm is {field_mm}; wanted height, depth and width of at least 50 mm, or None")
    first, second = source.strip().lower(), target.strip().lower()
    for modality in (first, second):
        sensor_of(plan, 0, modality)
    return (_pair(plan, (first, second), k, field_mm, device) for k in itertools.count(start))


def _pair(
    plan: Plan, names: tuple[str, str], case_id: int, field_mm: tuple[float, float, float] | None, device: str
) -> Pair:
    seed = case_seed(plan.seed, case_id)
    drawn = draw_subject(plan, seed, device=device)
    subject = drawn.subject
    if field_mm is not None:
        subject = replace(subject, volume=framed(subject.volume, field_mm))
    sensors = {name: fitted(sensor_of(plan, seed, name), drawn.patient) for name in dict.fromkeys(names)}
    noise = {name: generator_of(seed, name, "noise", device=device) for name in sensors}
    taken = images(subject, sensors, noise)
    return Pair(taken[names[0]], taken[names[1]], subject.spine, seed)


def framed(volume: Volume, field_mm: tuple[float, float, float]) -> Volume:
    """The volume cut or filled up with air (-1000 HU, background) about its middle to a field of (z, y, x) mm.

    The voxels stay where they are: only whole ones are added or left out.
    """
    x, y, z = volume.spacing_mm
    shape = tuple(max(1, round(f / s)) for f, s in zip(field_mm, (z, y, x), strict=True))
    first = [(old - new) // 2 for old, new in zip(volume.hu.shape, shape, strict=True)]
    shift = torch.eye(4, dtype=volume.world_from_voxel.dtype, device=volume.world_from_voxel.device)
    shift[:3, 3] = shift.new_tensor(first[::-1])
    labels = None if volume.labels is None else _placed(volume.labels, shape, first, 0)
    return Volume(_placed(volume.hu, shape, first, -1000), volume.world_from_voxel @ shift, labels)


def _placed(
    values: Shaped[Tensor, "a b c"], shape: tuple[int, ...], first: list[int], fill: int
) -> Shaped[Tensor, "z y x"]:
    out = torch.full(shape, fill, dtype=values.dtype, device=values.device)
    here, there = [], []
    for old, new, low in zip(values.shape, shape, first, strict=True):
        begin, end = max(low, 0), min(low + new, old)
        here.append(slice(begin, end))
        there.append(slice(begin - low, end - low))
    out[tuple(there)] = values[tuple(here)]
    return out
