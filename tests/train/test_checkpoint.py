"""Checkpoints are there whole or not at all, and a damaged one is passed over."""

import json
from pathlib import Path

import pytest
import torch
from toy_systems import ToyConfig, ToyRegression, toy_cases, toy_training

from spondyl.train import build, train
from spondyl.train.checkpoint import Found, newest, save

STATE = {"model/w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}


def write(run: Path, step: int) -> Path:
    save(run, STATE, step, processes=1, seconds=1.0, settings="{}")
    return run / "checkpoints" / f"step-{step:08d}"


def found(run: Path) -> Found:
    checkpoint = newest(run)
    assert checkpoint is not None
    return checkpoint


def test_what_is_read_is_what_was_written_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, 4)
    assert found(tmp_path).record.step == 4
    assert found(tmp_path).notes == ()
    assert {k: v.tolist() for k, v in found(tmp_path).state.items()} == {k: v.tolist() for k, v in STATE.items()}


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 30):
        write(tmp_path, step)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000030"]


def cut_state(folder: Path) -> None:
    state = folder / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-5])


def flip_bit(folder: Path) -> None:
    content = bytearray((folder / "state.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "state.safetensors").write_bytes(bytes(content))


def lose_state(folder: Path) -> None:
    (folder / "state.safetensors").unlink()


def cut_record(folder: Path) -> None:
    (folder / "record.json").write_text((folder / "record.json").read_text()[:-9])


def lose_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def strange_record(folder: Path) -> None:
    content = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(content | {"format": 99}))


DAMAGES = [cut_state, flip_bit, lose_state, cut_record, lose_record, strange_record]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_with_a_line(damage: object, tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert callable(damage)
    damage(write(tmp_path, 2))
    assert found(tmp_path).record.step == 1
    (note,) = found(tmp_path).notes
    assert note.startswith("checkpoint step-00000002 is damaged (")
    assert "\n" not in note
    damage(write(tmp_path, 1))
    with pytest.raises(ValueError, match=r"every checkpoint is damaged; checkpoint step-00000002 .* begin again"):
        newest(tmp_path)


def test_a_checkpoint_that_was_being_written_does_not_count(tmp_path: Path) -> None:
    half = tmp_path / "checkpoints" / ".step-00000009.part"
    half.mkdir(parents=True)
    (half / "state.safetensors").write_bytes(b"half")
    assert newest(tmp_path) is None
    write(tmp_path, 9)
    assert found(tmp_path).record.step == 9
    assert not half.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="step-00000002: no space left on device; make room"):
        write(tmp_path, 2)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_run_goes_on_from_the_checkpoint_before_the_damaged_one_and_says_so(tmp_path: Path) -> None:
    settings = toy_training(6, save_every=2)
    ends = []
    for name in ("a", "b"):
        system = build(ToyRegression, ToyConfig(), seed=1)
        train(system, toy_cases(), tmp_path / name, settings=settings, device="cpu")
        ends.append(found(tmp_path / name).record.sha256)
    cut_state(tmp_path / "b" / "checkpoints" / "step-00000006")
    again = train(
        build(ToyRegression, ToyConfig(), seed=1), toy_cases(), tmp_path / "b", settings=settings, resume=True, device="cpu"
    )  # fmt: skip
    assert again.notes[0].startswith("checkpoint step-00000006 is damaged")
    assert found(tmp_path / "b").record.sha256 == ends[0] == ends[1]
    assert found(tmp_path / "b").notes == ()
    assert "passed over" in (tmp_path / "b" / "index.html").read_text()
