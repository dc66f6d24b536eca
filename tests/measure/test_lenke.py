"""Lenke's table by hand: what films settle is one type, what they do not is several, and the reason is said."""

import pytest
import torch

from spondyl.measure.cobb import cobb_from_spine
from spondyl.measure.lenke import LenkeRegion, lenke_like, lenke_region, lumbar_modifier, sagittal_modifier
from spondyl.measure.sagittal import sagittal_angles
from spondyl.sim.patient import draw
from spondyl.spine import Cobb, Sagittal


def spine_with(pt: float, mt: float, tl: float) -> list[Cobb]:
    return [
        Cobb(pt, "T1", "T5", "T3", "left"),
        Cobb(mt, "T5", "T12", "T8", "right"),
        Cobb(tl, "T12", "L4", "L2", "left"),
    ]


def side_view(pt: float = 10.0, tl: float = 0.0, chest: float = 25.0) -> list[Sagittal]:
    return [
        Sagittal(pt, "T2 superior", "T5 inferior"),
        Sagittal(tl, "T10 superior", "L2 inferior"),
        Sagittal(chest, "T5 superior", "T12 inferior"),
    ]


@pytest.mark.parametrize(
    ("standing", "bending", "wanted"),
    [
        ((28, 55, 35), {"PT": 15, "MT": 30, "TL/L": 12}, 1),
        ((38, 55, 35), {"PT": 27, "MT": 30, "TL/L": 12}, 2),
        ((28, 62, 55), {"PT": 10, "MT": 40, "TL/L": 31}, 3),
        ((40, 62, 55), {"PT": 30, "MT": 40, "TL/L": 31}, 4),
        ((40, 55, 70), {"PT": 30, "MT": 40, "TL/L": 31}, 4),
        ((15, 30, 48), {"PT": 5, "MT": 12, "TL/L": 20}, 5),
        ((15, 45, 58), {"PT": 5, "MT": 28, "TL/L": 35}, 6),
        ((15, 50, 53), {"PT": 5, "MT": 28, "TL/L": 35}, 3),
    ],
)
def test_with_bending_films_there_is_one_type(
    standing: tuple[float, float, float], bending: dict[LenkeRegion, float], wanted: int
) -> None:
    found = lenke_like(spine_with(*standing), side_view(), bending_deg=bending, lumbar=("A",))
    assert (found.types, found.missing, found.text) == ((wanted,), (), f"{wanted}AN")


def test_small_minor_curves_need_no_bending_film() -> None:
    found = lenke_like(spine_with(18, 50, 22), side_view(), lumbar=("B",))
    assert (found.types, found.text) == ((1,), "1BN")


def test_kyphosis_makes_a_small_curve_structural() -> None:
    assert lenke_like(spine_with(18, 50, 22), side_view(pt=21)).types == (2,)
    assert lenke_like(spine_with(18, 50, 22), side_view(tl=25)).types == (3,)


def test_without_bending_films_every_type_that_is_left_is_named_with_the_reason() -> None:
    found = lenke_like(spine_with(30, 60, 52), side_view())
    assert (found.types, found.presumed, found.major) == ((1, 2, 3, 4), 3, "MT")
    assert "Whether the PT curve is structural is not known: a side-bending film is missing." in found.missing
    assert any(s.startswith("The lumbar modifier is one of A, B, C") for s in found.missing)
    assert found.text == "1/2/3/4?N"


def test_without_a_lateral_film_the_kyphosis_is_missing_and_said() -> None:
    found = lenke_like(spine_with(18, 50, 22))
    assert (found.types, found.presumed, found.sagittal) == ((1, 2, 3, 4), 1, None)
    assert "Whether the PT curve is structural is not known: the kyphosis T2-T5 is missing." in found.missing


def test_no_type_is_made_up() -> None:
    small = lenke_like(spine_with(2, 8, 3), side_view())
    assert (small.types, small.missing[-1]) == ((), "No Lenke type: no curve reaches 10 degrees.")
    proximal = lenke_like(spine_with(50, 30, 20), side_view())
    assert (proximal.types, proximal.missing[-1]) == ((), "No Lenke type: the largest curve is proximal thoracic.")
    odd = lenke_like(spine_with(40, 30, 60), side_view(), bending_deg={"PT": 30, "MT": 10, "TL/L": 40})
    assert (odd.types, odd.missing[-1]) == ((), "No Lenke type has these structural curves.")


@pytest.mark.parametrize(("kyphosis", "sign"), [(9.9, "-"), (10, "N"), (40, "N"), (40.1, "+")])
def test_the_sagittal_modifier_goes_by_t5_to_t12(kyphosis: float, sign: str) -> None:
    assert sagittal_modifier(side_view(chest=kyphosis)) == sign
    assert sagittal_modifier(side_view()[:2]) is None
    assert sagittal_modifier([Sagittal(kyphosis, "T5 superior", "T13 inferior")]) == sign


def test_the_lumbar_modifier_goes_by_pedicle_and_edge() -> None:
    assert lumbar_modifier(3.0, 20.0, pedicle_mm=9.0) == ("A",)
    assert lumbar_modifier(-12.0, 20.0, pedicle_mm=9.0) == ("B",)
    assert lumbar_modifier(21.0, 20.0, pedicle_mm=9.0) == ("C",)
    assert lumbar_modifier(3.0, 20.0) == ("A", "B")


def test_a_cervical_curve_has_no_region() -> None:
    assert lenke_region(Cobb(20, "C3", "T1", "C6", "left")) is None
    assert lenke_like([Cobb(20, "C3", "T1", "C6", "left")]).types == ()


def test_the_type_that_a_patient_was_drawn_as_is_among_those_allowed() -> None:
    g = torch.Generator().manual_seed(8)
    hits, n = 0, 24
    for k in range(n):
        kind = str(1 + k % 6)
        patient = draw(generator=g, cohort="surgical", curve_type=kind, variant="usual", instrumented=False)  # type: ignore[arg-type]
        found = lenke_like(cobb_from_spine(patient.spine), sagittal_angles(patient.spine))
        hits += int(kind) in found.types
    assert hits >= 0.7 * n
