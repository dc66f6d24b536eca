"""A case of a cohort, made by hand: a record, a spine and a view, for the tests of its files."""

from dataclasses import replace

import torch

from spondyl.geometry import View
from spondyl.io.case_record import CaseRecord, CurveTruth, Person, Truth
from spondyl.spine import SpineCurve

RECORD = CaseRecord(
    id=0,
    seed=2**62,
    patient="ab12",
    split="train",
    shape_split="test",
    shape_regions=("large",),
    truth=Truth(
        ("T1", "T2"), (CurveTruth("T1", "T2", "T1/T2", "left", 61.25, -3.5, 60.0, None),),
        30.5, None, None, None, None, 1.0, -2.0, 22.0,
    ),
    person=Person("screening", "female", 14.25, 1.0, 18.5, "1", "standing", 2, 0.5, False, "T4-L1"),
    sensors={"pa": "RadiographSensor(view='pa')"},
    config="00ff",
)  # fmt: skip


def spine() -> SpineCurve:
    generator = torch.Generator().manual_seed(5)
    axes = torch.linalg.qr(torch.randn(3, 3, 3, generator=generator)).Q
    plates = torch.randn(3, 2, 3, 3, generator=generator)
    plates[2, 1] = torch.nan
    return SpineCurve(("T13", "L1", "S1"), torch.randn(3, 3, generator=generator) * 100, axes, plates[:, 0, 0], plates)


def a_view(**changes: object) -> View:
    view = View.around([1.0, 2.0, 3.0], angle_deg=12.3, tilt_deg=1.1, shape_px=(7, 5), beam="slot")
    return replace(view, **changes)  # type: ignore[arg-type]
