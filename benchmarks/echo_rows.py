"""Target 15: speckle, shadows and grain of simulated ultrasound, and its curve angle against Cobb on the cohort's truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from cohort_rows import Array, Row, correlation, mean, row
from torch import Tensor
from torch.nn import functional

from spondyl.pairs import Subject
from spondyl.sim.echo import Recording
from spondyl.sim.patient import Patient, uca_deg, ultrasound_landmarks
from spondyl.sim.probe import Sweep
from spondyl.sim.ultrasound import UltrasoundSensor
from spondyl.spine import SpineCurve

SLAB = (-6, 24)  # depth steps of half a millimetre: 3 mm above the laminae to 12 mm below
PATCH = (12, 24)  # frames x lines, 12 mm each way
LEAST_FREE = 0.95  # of a patch
DEEPEST_MM = 15.0  # below the laminae
LUMBAR = ("T12", "L4")
BEHIND_MM = 4.0  # a shadow counts from here on below the bone's surface: past the echo's own tail
LEAST_COBB_DEG, MOST_COBB_DEG = 10.0, 45.0


@dataclass(frozen=True)
class Echo:
    """What was measured in one sweep.

    Args:
        snr, log_db: mean over SD and SD in dB of the envelope in patches of free muscle, the muscle's grain switched off.
        shadow_db: power behind bone over power in free muscle on the same slices.
        projected_snr: mean over SD of the projected slab in free muscle.
    """

    snr: float
    log_db: float
    shadow_db: float
    projected_snr: float


def measured(subject: Subject, sensor: UltrasoundSensor, *, generator: torch.Generator) -> Echo:
    """One patient's sweep, with and without the muscle's grain."""
    recording, lattice = sensor.record(subject, generator=generator)
    plain = replace(recording, beam=replace(recording.beam, texture_db=0.0))
    free = lumbar_muscle(recording.sweep, lattice.heights_mm(subject.volume.hu.device), subject.spine)
    stack = torch.stack([recording.envelope(i) for i in range(SLAB[0], SLAB[1] + 1)])
    even = torch.stack([plain.envelope(i) for i in range(SLAB[0], SLAB[1] + 1, 3)])
    flat = in_patches(even, free)
    projected = 0.5 * stack.mean(0) + 0.5 * stack.amax(0)
    share = in_patches(projected[None], free)
    return Echo(
        float(flat.mean() / flat.std()),
        float((20 * flat.clamp(min=1e-6).log10()).std()),
        shadow_db(recording, stack, free),
        float(share.mean() / share.std()),
    )


def lumbar_muscle(sweep: Sweep, heights_mm: Tensor, spine: SpineCurve) -> Tensor:
    """Lines from T12 to L4 that touch, and that meet neither bone nor gas down to the slab's floor."""
    first, last = (float(spine.centres_mm[spine.index(level), 2]) for level in LUMBAR)
    deepest = sweep.reference_mm[:, None] + DEEPEST_MM
    inside = (heights_mm < first) & (heights_mm > last)
    return (sweep.surface_mm > deepest) & (sweep.contact > 0.99) & inside[:, None]


def in_patches(stack: Tensor, free: Tensor) -> Tensor:
    """The free samples of every patch over that patch's mean, slice by slice: slow changes of level leave no trace."""
    rows, columns = PATCH
    out = []
    for v in range(0, free.shape[0] - rows + 1, rows):
        for u in range(0, free.shape[1] - columns + 1, columns):
            inside = free[v : v + rows, u : u + columns]
            if float(inside.float().mean()) >= LEAST_FREE:
                samples = stack[:, v : v + rows, u : u + columns][:, inside]
                out.append((samples / samples.mean(1, keepdim=True)).flatten())
    if not out:
        raise ValueError("no patch of free muscle in this sweep; take another patient")
    return torch.cat(out)


def shadow_db(recording: Recording, stack: Tensor, free: Tensor) -> float:
    """Median power well inside bone's shadows over the median in free muscle, slices of the slab's lower half."""
    sweep, inside, muscle = recording.sweep, [], []
    for k in range(len(stack) // 2, len(stack), 3):
        depth = (sweep.reference_mm + (SLAB[0] + k) * recording.depth_step_mm)[:, None]
        behind = (sweep.is_bone > 0) & (depth - sweep.surface_mm > BEHIND_MM) & (sweep.contact > 0.99)
        # past the reach of a bright echo beside it: the beam is 3 mm thick, and bone 60 dB above its shadow
        out = functional.max_pool2d((~behind).float()[None], (11, 9), stride=1, padding=(5, 4))[0] > 0
        inside.append(stack[k][~out])
        muscle.append(stack[k][free])
    ratio = torch.cat(inside).square().median() / torch.cat(muscle).square().median()
    return float(10 * ratio.log10())


def angle_pairs(patients: Sequence[Patient]) -> tuple[Array, list[int]]:
    """Ultrasound curve angle and Cobb angle of every curve of 10 to 45 degrees, and whose it is."""
    pairs, who = [], []
    for p in patients:
        if p.traits.hardware is None:
            marks = ultrasound_landmarks(p)
            for c in p.posture.curves:
                if LEAST_COBB_DEG <= c.cobb_deg < MOST_COBB_DEG:
                    pairs.append([uca_deg(marks, c), c.cobb_deg])
                    who.append(p.seed)
    return np.array(pairs), who


def echo_rows(echoes: Sequence[Echo], patients: Sequence[Patient]) -> list[Row]:
    """Target 15: the images of few patients, the angles of many."""

    def of(name: str) -> Array:
        return np.array([getattr(e, name) for e in echoes])

    rows = []
    for what, name, low, high in (
        ("envelope in free muscle without grain, mean over SD", "snr", 1.86, 1.96),
        ("the same, SD in dB", "log_db", 5.4, 5.8),
        ("power behind bone over free muscle, dB", "shadow_db", -60.0, -25.0),
        ("projected slab in free muscle, mean over SD", "projected_snr", 3.0, 7.0),
    ):
        rows.append(row("15", f"ultrasound, {what}", low, high, of(name), mean))
    pairs, who = angle_pairs(patients)
    off = np.abs(pairs[:, 0] - pairs[:, 1])
    rows.append(row("15", "UCA against Cobb of 10 to 45, mean absolute difference", 0.0, 4.0, off, mean, who=who))
    rows.append(row("15", "UCA against Cobb of 10 to 45, R2", 0.85, 1.0, pairs, lambda a: correlation(a) ** 2, who=who))
    return rows
