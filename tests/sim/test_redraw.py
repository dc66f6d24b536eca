"""Domain randomisation: only fields with a range are drawn, uniformly, and every draw can be repeated."""

from dataclasses import dataclass, field

import pytest
import torch

from spondyl.sim.redraw import between, check_settings, redraw


@dataclass(frozen=True)
class Lamp:
    power_w: float = field(default=5.0, metadata=between(2.0, 6.0))
    colour: str = "red"
    tilt_deg: float = field(default=0.0, metadata=between(-3.0, 3.0))

    def __post_init__(self) -> None:
        check_settings(self, positive=("power_w",))


def test_only_fields_with_a_range_are_drawn() -> None:
    g = torch.Generator().manual_seed(0)
    lamps = [redraw(Lamp(colour="blue"), generator=g) for _ in range(400)]
    power = torch.tensor([lamp.power_w for lamp in lamps])
    assert {lamp.colour for lamp in lamps} == {"blue"}
    assert 2.0 <= float(power.min()) < 2.1
    assert 5.9 < float(power.max()) <= 6.0
    assert float(power.mean()) == pytest.approx(4.0, abs=0.2)


def test_the_same_generator_gives_the_same_settings() -> None:
    a, b = (redraw(Lamp(), generator=torch.Generator().manual_seed(9)) for _ in range(2))
    assert a == b != Lamp()


def test_settings_without_sense_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="power_w is 0"):
        Lamp(power_w=0.0)
    with pytest.raises(ValueError, match="tilt_deg is nan"):
        Lamp(tilt_deg=float("nan"))
    assert Lamp(tilt_deg=-30.0).tilt_deg == -30.0  # below zero is fine where the range goes there
