"""Systems that make radiographs: scores on a fixed scale, inputs shuffled by asking again, the mean film, marks of ultrasound."""

import math
from pathlib import Path

import pytest
import torch
from drawn_spines import protocol
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate import Entrant, EvaluationCase, ImageTruth, MarksTruth, evaluate
from spondyl.evaluate.films import OPTICAL_DEPTH_RANGE, read_film
from spondyl.evaluate.marks import read_marks
from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.spine import Cobb, UltrasoundMarks
from spondyl.system import Settings, System

SHAPE = (64, 48)
VIEW = View.around((0.0, 0.0, 0.0), shape_px=SHAPE, beam="parallel")


def film(number: int) -> Radiograph:
    """A blob on a slope, elsewhere for every number."""
    v, u = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    return Radiograph(2 + 0.02 * v + 3 * torch.exp(-((v - 10 * number - 12) ** 2 + (u - 24) ** 2) / 60), VIEW)


class Plus(System):
    """Gives back what it sees, `more` deeper."""

    name, source, target, modalities = "plus", Radiograph, Radiograph, ("pa", "pa")

    def __init__(self, more: float) -> None:
        super().__init__(Settings())
        self.more = more

    def loss(self, batch: object, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return torch.zeros(())

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b h w"]:
        return source + self.more


def test_the_scores_of_an_offset_are_those_of_its_formula() -> None:
    real = film(1)
    got = {r.quantity: r.value for r in read_film(real.map(lambda x: x + 0.5), real)}
    assert got["psnr"] == pytest.approx(20 * math.log10(OPTICAL_DEPTH_RANGE / 0.5), abs=1e-4)
    assert "ms_ssim" not in got  # 64 pixels are too few for five scales
    assert {r.quantity: r.value for r in read_film(real, real)}["ssim"] == pytest.approx(1)
    assert {r.value for r in read_film(None, real)} == {None}


def test_a_made_film_is_held_against_the_true_one_the_mean_film_and_another_patients(tmp_path: Path) -> None:
    cases = [
        EvaluationCase(f"c{i}", f"p{i}", lambda i=i: film(i), ImageTruth(lambda i=i: film(i), VIEW)) for i in range(4)
    ]
    made = [Entrant("same", Plus(0.0), "a"), Entrant("deeper", Plus(0.5), "b")]
    done = evaluate(made, cases, tmp_path, protocol=protocol(cases), resamples=100)
    mean = {(s.system, s.role): s.mean.value for s in done.table.summaries if s.quantity == "ssim" and s.mean}
    assert mean["same", "system"] == pytest.approx(1)
    assert mean["same", "shuffled"] < 0.99
    assert mean["mean predictor", "mean"] < 0.999
    found = next(d for d in done.table.differences if (d.quantity, d.second) == ("ssim", "deeper"))
    assert found.estimate.interval.low > 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    evaluate(made, cases, tmp_path, protocol=protocol(cases), resamples=100)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert (tmp_path / "answers/same.shuffled.jsonl").is_file()


def marks(tilts_deg: list[float]) -> UltrasoundMarks:
    levels = tuple(f"T{i + 1}" for i in range(len(tilts_deg)))
    rows = []
    for i, tilt in enumerate(tilts_deg):  # the right end, at high columns, is higher where the tilt is positive
        t = math.radians(tilt)
        rows.append(
            [
                [50.0 * i + 20 * math.sin(t), 100 - 20 * math.cos(t)],
                [50.0 * i - 20 * math.sin(t), 100 + 20 * math.cos(t)],
            ]
        )
    ends = torch.tensor(rows)
    return UltrasoundMarks(levels, ends, ends, ends.mean(dim=1))


def test_an_ultrasound_angle_is_read_between_the_true_ends_and_marks_in_mm() -> None:
    drawn = [0.0, 20.0, 10.0, 0.0, -10.0, -15.0, 0.0]
    truth = MarksTruth(
        marks(drawn), (Cobb(36.0, "T2", "T6", "T4", "right"), Cobb(5.0, "T1", "T2", "T1", "left")), (0.5, 0.5)
    )
    same = {r.quantity: r for r in read_marks(truth.marks, truth, truth)}
    assert same["uca"].truth == pytest.approx(35, abs=1e-3)
    assert (same["uca"].error, same["mark_mm"].value) == (0, 0)
    other = {r.quantity: r for r in read_marks(marks([-x for x in drawn]), truth, truth)}
    assert other["uca"].value == pytest.approx(-35, abs=1e-3)
    short = {r.quantity: r for r in read_marks(marks(drawn[:4]), truth, truth)}
    assert short["uca"].value is None
    assert {r.value for r in read_marks(None, truth, truth)} == {None}
