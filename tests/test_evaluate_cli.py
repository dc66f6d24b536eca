"""`spondyl evaluate` reads cohorts and films, prints one table, and says in one line what is wrong."""

import csv
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import typer
from cohort_stand_in import installed
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor
from typer.testing import CliRunner

from spondyl.cli import evaluate_commands, evaluate_data
from spondyl.cli.evaluate_data import Choice
from spondyl.cli.stopping import failure_of
from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.io.aasce import ANGLES, LEVELS, POINTS
from spondyl.io.shards import Cohort
from spondyl.pairs import Image
from spondyl.simulate import Job, Plan, simulate
from spondyl.spine import Corners
from spondyl.system import Settings, System
from spondyl.systems import SYSTEMS

APP = typer.Typer()
evaluate_commands.register(APP)


class Ladder(System):
    """Finds seventeen level boxes in any film."""

    name, source, target, modalities = "ladder", Radiograph, Corners, ("pa", "lateral")
    Config: ClassVar = Settings

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def loss(self, batch: object, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return self.weight.sum()

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b 17 8"]:
        b, h, w = source.shape
        tops = torch.linspace(0.1 * h, 0.9 * h, 17)
        one = torch.stack(
            [torch.tensor([v + d * 0.03 * h, w / 2 + s * 0.1 * w]) for v in tops for d in (0, 1) for s in (-1, 1)]
        )
        return one.reshape(1, 17, 8).expand(b, 17, 8)

    def wrap(self, answer: Float[Tensor, "17 8"], image: Image, view: View | None) -> Corners:
        own = image.view if isinstance(image, Radiograph) else view
        return Corners(LEVELS, answer.reshape(17, 4, 2), torch.ones(17), own)


def run(*words: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = CliRunner().invoke(APP, list(words))
    if isinstance(done.exception, Exception):
        failure = failure_of(done.exception, "spondyl evaluate")
        return failure.code, failure.line
    return done.exit_code, done.output


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(SYSTEMS, Ladder.name, Ladder)
    folder = tmp_path / "mine"
    Ladder(Settings()).save_pretrained(folder)
    return folder


def films(folder: Path) -> Path:
    """Four grey films whose labels say 10, 20, 30 and 40 degrees."""
    (folder / "images").mkdir(parents=True)
    columns = ["image", "width", "height", *ANGLES, *(f"{v}_{p}_{c}" for v in LEVELS for p in POINTS for c in "xy")]
    with (folder / "annotations.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for i in range(4):
            Pillow.fromarray(np.full((340, 120), 90 + 10 * i, np.uint8)).save(folder / f"images/film_{i}.png")
            ends = [(k, v, u) for k in range(17) for v in (0, 12) for u in (40, 80)]
            corners = [n for k, v, u in ends for n in (u + i, 10 + 19 * k + v + (u - 60) * 0.01 * k)]
            writer.writerow([f"film_{i}.png", 120, 340, 10 * (i + 1), 5, 5, *corners])
    return folder


def test_films_are_evaluated_with_their_own_angles(ladder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = run(str(ladder), "--data", str(films(tmp_path / "films")), "-o", str(out), "--resamples", "100")
    assert code == 0
    assert "AASCE main angle, °: mine: read 4; failed 0; mean error or score 25.0" in said
    assert "AASCE main angle, °: mean predictor: read 4; failed 0; mean error or score 13.3" in said
    assert f"wrote {out}: open {out / 'index.html'}" in said
    kept = json.loads((out / "results.json").read_text())["protocol"]
    assert kept["command"].startswith(f"spondyl evaluate {ladder} --data")
    assert len(kept["systems"][0]["sha256"]) == len(kept["data_sha256"]) == 64
    assert kept["split"] == "all"


def test_two_folders_of_one_name_and_cases_left_out(ladder: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "mine"
    Ladder(Settings()).save_pretrained(other)
    words = [
        "--data",
        str(films(tmp_path / "films")),
        "-o",
        str(tmp_path / "out"),
        "--resamples",
        "100",
        "--exclude",
        "film_3",
    ]
    code, said = run(str(ladder), str(other), *words)
    assert code == 0
    assert "AASCE main angle, °: mine-2: read 3" in said
    assert "mine minus mine-2 +0.00" in said


def test_the_test_split_of_a_cohort_is_asked_film_by_film(
    ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cohort"
    with installed():
        simulate(Job(Plan(14, seed=3, modalities=("pa", "lateral"), spacing_mm=10.0), folder, None))
    held = [r for r in Cohort(folder).records if r.split == "train"]
    out = tmp_path / "out"
    words = ["--data", str(folder), "-o", str(out), "--resamples", "100", "--split", "train", "--n", "4"]
    code, said = run(str(ladder), *words)
    assert code == 0, said
    lines = list(csv.DictReader((out / "results.csv").open()))
    asked = dict.fromkeys(line["case"] for line in lines)
    chosen = [held[i * len(held) // 4].id for i in range(4)]
    assert list(asked) == [f"{i:06d}-{name}" for i in chosen for name in ("pa", "lateral")]
    true = {r.id: r.truth for r in held}
    for line in lines:
        record = true[int(line["case"][:6])]
        if (line["quantity"], line["role"]) == ("main_cobb", "system"):
            # a film shows less of an angle where turned vertebrae lean forward
            assert float(line["truth"]) == pytest.approx(record.largest_cobb_deg, abs=1 + 0.1 * record.largest_cobb_deg)
        if (line["quantity"], line["role"]) == ("main_cobb_space", "system"):
            assert float(line["truth"]) == pytest.approx(record.largest_cobb_deg, abs=1e-3)
        if (line["quantity"], line["role"]) == ("sacral_slope", "system"):
            assert float(line["truth"]) == pytest.approx(record.sacral_slope_deg, abs=2.5)
    other = next(r.split for r in Cohort(folder).records if r.split != "train")
    for most, cases in ((400, f"the {len(held)} cases"), (3, f"3 of {len(held)} cases, evenly over them,")):
        monkeypatch.setattr(evaluate_data, "MOST_LEARNT", most)
        found = evaluate_data.cases_in(folder, Ladder(Settings()), Choice(other, "patient", None, ()))
        assert len(found.learnt) == 2 * min(most, len(held))
        assert found.mean_of == f"the mean of {len(found.learnt)} images in {cases} of the training split"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nothing", "--data", "x"], "nothing is neither a folder nor the name of weights that ship"),
        (
            ["{mine}", "--data", "nowhere"],
            "nowhere is not a folder; wanted a cohort of spondyl simulate, or annotations.csv",
        ),
        (["{mine}", "--data", "{mine}"], "holds no shards of a cohort"),
        (["{mine}", "--data", "x", "--split-by", "age"], "--split-by is 'age'; wanted patient or shape"),
        (["{mine}", "--data", "x", "--n", "1"], "--n is 1; wanted 2 or more"),
        (["{mine}", "--data", "x", "--resamples", "9"], "--resamples is 9; wanted at least 100"),
        (["{mine}", "--data", "x", "--device", "abacus"], "--device is 'abacus'; wanted auto, cpu"),
        (["{mine}/..", "--data", "x"], "has no config.json; wanted a folder that spondyl train wrote"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(ladder: Path, tmp_path: Path, words: list[str], line: str) -> None:
    given = [word.replace("{mine}", str(ladder)) for word in words]
    code, said = run(*given, "-o", str(tmp_path / "out"))
    assert code == 2
    assert line in said
    assert "\n" not in said


def test_a_folder_of_an_unknown_system_is_said(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SYSTEMS, Ladder.name)
    code, said = run(str(ladder), "--data", str(tmp_path), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "names the system 'ladder'; wanted one of: " in said
