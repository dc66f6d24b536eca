"""Growth on a CT: rings, caps and plates by age and sex; the endplates stay where they were designed."""

from typing import Literal

import numpy as np
import pytest
import torch

from spondyl.sim.patient import Patient, anatomy_of, make_body, make_patient
from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.canvas import Canvas
from spondyl.sim.patient.growth_plates import crest_caps, hip_plates, is_open, ring_solid, risser
from spondyl.sim.patient.pelvis import sacrum_solid
from spondyl.sim.patient.posture import Posture
from spondyl.sim.patient.shapes import Vector
from spondyl.sim.patient.vertebra import vertebra_solid
from spondyl.spine import LEVEL_LABELS

Sex = Literal["female", "male"]


def patient_of(sex: Sex, age: float) -> Patient:
    return make_patient(Posture(), make_body(sex=sex, age_years=age))


def painted(patient: Patient, low: Vector, high: Vector) -> tuple[Canvas, Canvas]:
    """L3 without and with its growth cartilage."""
    both = []
    for grown in (False, True):
        canvas = Canvas.empty(low, high, 0.5, "cpu")
        v = next(v for v in anatomy_of(patient).vertebrae if v.size.level == "L3")
        canvas.paint(vertebra_solid(v))
        ring = ring_solid(v, patient.body)
        if grown and ring is not None:
            canvas.paint(ring)
        both.append(canvas)
    return both[0], both[1]


@pytest.mark.parametrize(("sex", "age"), [("female", 9.0), ("female", 13.0), ("male", 14.0)])
def test_a_dark_line_lies_below_the_rims_of_a_growing_body(sex: Sex, age: float) -> None:
    p = patient_of(sex, age)
    c = p.spine.centres_mm[p.spine.index("L3")].double().numpy()
    before, after = painted(p, c - 40, c + 40)
    changed = before.hu - after.hu > 60
    assert int(changed.sum()) > 1000
    assert float(after.hu[changed].median()) == pytest.approx(number("tissue", "cartilage"), abs=90)
    plates = p.spine.endplates_mm[p.spine.index("L3")].double().numpy()
    where = changed.nonzero().flip(1).numpy() * 0.5 + before.origin_mm
    nearest = np.min(
        [np.abs((where - e[0]) @ (np.cross(e[1], e[2]) / np.linalg.norm(np.cross(e[1], e[2])))) for e in plates], 0
    )
    assert nearest.max() < 6.0  # it stays near the endplates
    away = [np.linalg.norm(where[k] - plates[:, 0], axis=1).min() for k in range(0, len(where), 50)]
    assert min(away) > 10.0  # and at their rims


@pytest.mark.parametrize("sex", ["female", "male"])
def test_adults_have_no_growth_plates(sex: Sex) -> None:
    p = patient_of(sex, 25.0)
    a = anatomy_of(p)
    assert all(ring_solid(v, p.body) is None for v in a.vertebrae)
    assert crest_caps(a.pelvis, p.body) == []
    assert hip_plates(a.pelvis, p.body) == []


def test_rissers_sign_rises_with_age_and_later_in_boys() -> None:
    ages = np.arange(9.0, 21.0, 0.25)
    girls, boys = ([risser(sex, float(a)) for a in ages] for sex in ("female", "male"))
    assert girls == sorted(girls)
    assert boys == sorted(boys)
    assert all(g >= b for g, b in zip(girls, boys, strict=True))
    assert (girls[0], girls[-1], boys[0], boys[-1]) == (0.0, 5.0, 0.0, 5.0)
    assert risser("female", 14.0) == pytest.approx(1.0, abs=0.6)


def test_the_cap_grows_from_the_front_of_the_crest_backwards() -> None:
    lengths, fronts = [], []
    for age in (13.6, 14.2, 15.1):
        p = patient_of("female", age)
        a = anatomy_of(p)
        caps = crest_caps(a.pelvis, p.body)
        assert len(caps) == 2
        boxes = [s.box_mm for s in caps[1].shapes]
        lengths.append(len(boxes))
        fronts.append(min(float(b[0][1]) for b in boxes) - float(a.pelvis.crest(1.0)[0, 1]))
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    assert all(f < 0 for f in fronts)
    assert crest_caps(anatomy_of(patient_of("female", 11.0)).pelvis, patient_of("female", 11.0).body) == []


def test_plates_close_in_their_order() -> None:
    for sex in ("female", "male"):
        ends = [
            number("growth_plates", f"{n}_closes_{'girls' if sex == 'female' else 'boys'}")
            for n in ("triradiate", "head", "ring")
        ]
        assert ends == sorted(ends)
    assert is_open("triradiate", "male", 13.0)
    assert not is_open("triradiate", "female", 13.0)


def test_the_endplate_of_the_sacrum_lies_in_its_designed_plane() -> None:
    p = patient_of("female", 14.0)
    plate = p.spine.endplates_mm[p.spine.index("S1"), 0].double().numpy()
    canvas = Canvas.empty(plate[0] - 50, plate[0] + 50, 1.0, "cpu")
    canvas.hu.fill_(0.0)
    canvas.paint(sacrum_solid(p.spine, p.body))
    normal = np.cross(plate[1], plate[2])
    normal /= np.linalg.norm(normal)
    u, v = (g.ravel() for g in np.meshgrid(np.linspace(-0.7, 0.7, 15), np.linspace(-0.7, 0.7, 15)))
    heights = np.arange(8.0, -8.0, -0.1)
    points = (plate[0] + u[:, None] * plate[1] + v[:, None] * plate[2])[:, None] + heights[None, :, None] * normal
    x, y, z = np.round(points - canvas.origin_mm).astype(int).transpose(2, 0, 1)
    top = heights[(canvas.labels.numpy()[z, y, x] == LEVEL_LABELS["S1"]).argmax(axis=1)]
    design = np.stack([u * np.linalg.norm(plate[1]), v * np.linalg.norm(plate[2]), np.ones_like(u)], axis=1)
    slope = np.degrees(np.arctan(np.linalg.lstsq(design, top, rcond=None)[0][:2]))
    assert float(np.abs(slope).max()) < 0.7
    assert abs(float(top.mean())) < 1.5


def test_growth_changes_no_label_of_a_vertebra() -> None:
    p = patient_of("female", 13.0)
    c = p.spine.centres_mm[p.spine.index("L3")].double().numpy()
    before, after = painted(p, c - 40, c + 40)
    assert torch.equal(before.labels == LEVEL_LABELS["L3"], after.labels == LEVEL_LABELS["L3"])
