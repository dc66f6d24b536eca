"""A system answers in words, refuses what is none of its business, and comes back from its folder as it was."""

import json
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.spine import Corners
from spondyl.system import System, Training
from spondyl.systems import SYSTEMS

sys.path.append(str(Path(__file__).parent / "train"))

from toy_systems import SHAPE, ToyConfig, ToyDiffusion, ToyRegression, toy_pair

VIEW = View.around((0, 0, 0), shape_px=SHAPE)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def depth(system: System, seed: int = 0) -> Tensor:
    (answer,) = system.translate(toy_pair(0).source, VIEW, generator=seeded(seed))
    assert isinstance(answer, Radiograph)
    return answer.optical_depth


class Pointing(ToyRegression):
    """Gives corners, one vertebra of them missing."""

    name = "pointing"
    target = Corners

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b 1 4 2"]:
        return torch.full((len(source), 1, 4, 2), torch.nan)

    def wrap(self, answer: Float[Tensor, "1 4 2"], image: object, view: View | None) -> Corners:
        return Corners(("T8",), answer, torch.zeros(1), VIEW)


def test_an_answer_is_a_radiograph_in_the_view_that_was_asked_for() -> None:
    system = ToyRegression(ToyConfig())
    (answer,) = system.translate(toy_pair(3).source, VIEW, generator=seeded())
    assert isinstance(answer, Radiograph)
    assert answer.view is VIEW


def test_the_same_seed_gives_the_same_answers_and_samples_differ() -> None:
    system = ToyDiffusion(ToyConfig())
    one, again = (system.translate(toy_pair(0).source, VIEW, samples=3, generator=seeded()) for _ in range(2))
    assert len(one) == 3
    assert all(torch.equal(a.optical_depth, b.optical_depth) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0].optical_depth, one[1].optical_depth)


def test_answering_uses_no_dropout_and_leaves_the_system_as_it_was() -> None:
    system = ToyRegression(ToyConfig(dropout=0.9)).train()
    before = {name: value.clone() for name, value in system.state_dict().items()}
    assert torch.equal(depth(system), depth(system, seed=1))
    assert system.training
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
    assert not depth(system).requires_grad


def test_what_a_system_cannot_take_is_named() -> None:
    system = ToyRegression(ToyConfig())
    film, echo = toy_pair(0).target, toy_pair(0).source
    with pytest.raises(ValueError, match="toy_regression takes a Ultrasound, not a Radiograph"):
        system.translate(film, VIEW, generator=seeded())
    with pytest.raises(ValueError, match="needs its view"):
        system.translate(echo, generator=seeded())
    with pytest.raises(ValueError, match="samples is 0"):
        system.translate(echo, VIEW, samples=0, generator=seeded())


def test_an_answer_that_is_not_finite_is_refused_but_a_missing_corner_is_not() -> None:
    system = ToyRegression(ToyConfig())
    torch.nn.init.constant_(next(system.parameters()), torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        depth(system)
    (corners,) = Pointing(ToyConfig()).translate(toy_pair(0).source, generator=seeded())
    assert isinstance(corners, Corners)


def test_a_folder_gives_the_system_back_bit_for_bit(tmp_path: Path) -> None:
    system = ToyRegression(ToyConfig(width=5)).eval()
    system.save_pretrained(tmp_path, card="Learnt from toys.")
    back = ToyRegression.from_pretrained(tmp_path)
    assert isinstance(back, ToyRegression)
    assert back.config == system.config
    assert not back.training
    assert torch.equal(depth(back), depth(system))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    assert "Learnt from toys." in (tmp_path / "card.md").read_text()
    assert "not a medical device" in (tmp_path / "card.md").read_text()


def test_half_precision_halves_the_file_and_loads_as_full(tmp_path: Path) -> None:
    system = ToyRegression(ToyConfig(width=64)).eval()
    system.save_pretrained(tmp_path / "full")
    system.save_pretrained(tmp_path / "half", dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    back = ToyRegression.from_pretrained(str(tmp_path / "half"))
    assert next(back.parameters()).dtype == torch.float32
    torch.testing.assert_close(depth(back), depth(system), rtol=0, atol=1e-2)


def spoil_config(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(content))


def test_a_folder_that_cannot_be_loaded_says_why_in_one_line(tmp_path: Path) -> None:
    ToyRegression(ToyConfig()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds 'toy_regression', not 'toy_diffusion'"):
        ToyDiffusion.from_pretrained(tmp_path)
    spoil_config(tmp_path, model={"width": 3})
    with pytest.raises(ValueError, match=r"does not fit: net\.0\.bias is \(8,\) there, \(3,\) here and \d+ more"):
        ToyRegression.from_pretrained(tmp_path)
    spoil_config(tmp_path, model={"widht": 3})
    with pytest.raises(ValueError, match=r"model\.widht: extra inputs"):
        ToyRegression.from_pretrained(tmp_path)
    spoil_config(tmp_path, model={})
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match="damaged or cut off"):
        ToyRegression.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(ValueError, match="is missing"):
        ToyRegression.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        ToyRegression.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        ToyRegression.from_pretrained(tmp_path)


def test_a_place_that_is_not_there_is_named_and_the_network_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        ToyRegression.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a folder"):
        ToyRegression.from_pretrained("no hub id")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    with pytest.raises(ValueError, match="nor in this machine's cache; allow the download with offline=False"):
        ToyRegression.from_pretrained("nobody/nothing")


def test_settings_refuse_unknown_keys_nonsense_and_changes() -> None:
    for wrong in ({"steps": 0}, {"stepz": 1}, {"optim": {"lr": float("inf")}}, {"precision": "fp8"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Training.model_validate(wrong)
    with pytest.raises(ValueError, match="frozen"):
        Training().steps = 3


def test_a_player_changes_only_what_it_sets() -> None:
    training = Training.model_validate({"optim": {"lr": 0.5, "beta1": 0.1}, "optim_of": {"critic": {"lr": 0.25}}})
    assert (training.optim_for("critic").lr, training.optim_for("critic").beta1) == (0.25, 0.1)
    assert training.optim_for("generator") is training.optim


def test_every_system_in_the_table_stands_under_its_own_name() -> None:
    assert [name for name, kind in SYSTEMS.items() if kind.name != name] == []
