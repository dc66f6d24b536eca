"""Settings come from the preset, a file and --set, in this order; a mistake is one line that names its place."""

from pathlib import Path

import pytest
from toy_systems import ToyConfig, ToyRegression

from spondyl.system import Preset
from spondyl.train import preset_of


def settings(*overrides: str, preset: str = "tiny", file: Path | None = None) -> Preset:
    return preset_of(ToyRegression, preset, file=file, overrides=overrides)


def test_a_preset_alone_is_its_row() -> None:
    for name, row in ToyRegression.presets.items():
        assert settings(preset=name) == row


def test_an_override_beats_the_file_and_the_file_beats_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("model:\n  width: 5\ntrain:\n  batch: 7\n  optim:\n    lr: 1e-2\n")
    made = settings("train.batch=3", "train.precision=bf16", file=file)
    assert isinstance(made.model, ToyConfig)
    assert (made.model.width, made.model.dropout) == (5, 0.1)
    assert (made.train.batch, made.train.optim.lr, made.train.precision) == (3, 0.01, "bf16")
    assert made.train.optim.warmup_steps == ToyRegression.presets["tiny"].train.optim.warmup_steps


def test_what_a_player_does_not_set_follows_the_optimiser_of_all() -> None:
    made = settings("train.optim.lr=0.5", "train.optim_of.critic.beta1=0.25", preset="paper").train
    assert (made.optim_for("critic").lr, made.optim_for("critic").beta1) == (0.5, 0.25)
    assert (made.optim_for("model").lr, made.optim_for("model").beta1) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.optim.lr=-1", "train.optim.lr: -1 given (--set train.optim.lr=-1); wanted greater than 0"),
        ("train.steps=many", "train.steps: 'many' given (--set train.steps=many); wanted a valid integer"),
        ("train.precision=fp8", "train.precision: 'fp8' given (--set train.precision=fp8); wanted 'fp32', 'bf16' or 'fp16'"),
        ("train.optim.lr=.inf", "train.optim.lr: inf given (--set train.optim.lr=.inf); wanted a finite number"),
        ("model.widht=3", "model.widht: not a setting (--set model.widht=3); did you mean width? wanted one of dropout, width"),
        ("train.optim.LR=3", "train.optim.LR: not a setting (--set train.optim.LR=3); "),
        ("train.optim_of.a.lrr=3", "train.optim_of.a.lrr: not a setting (--set train.optim_of.a.lrr=3); did you mean lr?"),
        ("optim.lr=3", "optim: not a setting (--set optim.lr=3); wanted one that begins with model. or train."),
        ("train.optim=3", "train.optim: 3 given (--set train.optim=3); wanted a valid dictionary"),
        ("train=3", "train: 3 given (--set train=3)"),
        ("train.steps", "--set train.steps: wanted a.b=c, for example --set train.optim.lr=0.0001"),
        ("train..steps=3", "--set train..steps=3: wanted a.b=c"),
        ("=3", "--set =3: wanted a.b=c"),
        ("train.steps=[", "--set train.steps=[: '[' cannot be read; quote it"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_one_line_that_names_it(override: str, line: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        settings(override)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "train:\n  steps: 3\n  optim:\n    lr: -1\n",
            "train.optim.lr: -1 given ({file} line 4); wanted greater than 0",
        ),
        ("model:\n  widht: 3\n", "model.widht: not a setting ({file} line 2); did you mean width?"),
        ("training:\n  steps: 3\n", "training: not a setting ({file} line 1)"),
        ("train: [1\n", "{file} line 2: expected ',' or ']', but got '<stream end>'; correct it"),
        ("- 1\n", "{file} holds no keys"),
        ("train: !!python/object:os.system {}\n", "{file} line 1: "),
    ],
)
def test_a_wrong_line_of_a_file_is_named_by_its_number(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        settings(file=file)
    assert str(error.value).startswith(line.replace("{file}", str(file)))


def test_a_file_of_nothing_changes_nothing_and_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("# nothing\n")
    assert settings(file=file) == ToyRegression.presets["tiny"]
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not a text file"):
        settings(file=file)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="preset is 'huge'; toy_regression has tiny, paper"):
        settings(preset="huge")
