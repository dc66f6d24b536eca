"""Everything a run must remember between two steps, as named tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spondyl.system import BatchT, System
from spondyl.train.ema import Average
from spondyl.train.player import Player


def tensors_of(system: System[BatchT], average: Average[BatchT] | None, players: Sequence[Player]) -> dict[str, Tensor]:
    """The state as tensors on the CPU that share no memory: weights, their average, the optimisers and loss scales.

    Names: model/..., ema/..., optim/PLAYER/WEIGHT/KIND, scale/PLAYER. Chance, order of cases, learning rates and the decay of the
    average are functions of the step and stand nowhere.
    """
    state = {f"model/{name}": value for name, value in system.state_dict().items()}
    if average is not None:
        state |= {f"ema/{name}": value for name, value in average.system.state_dict().items()}
    for key, parameter, player in _weights(system, players):
        for kind, value in player.optimizer.state.get(parameter, {}).items():
            state[f"{key}/{kind}"] = value
    for player in players:
        state[f"scale/{player.name}"] = torch.tensor([player.scale, float(player.good_steps)], dtype=torch.float64)
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def restore(
    state: Mapping[str, Tensor], system: System[BatchT], average: Average[BatchT] | None, players: Sequence[Player]
) -> None:
    """Put a state back. Raises ValueError where it is of another network."""
    _load(system, state, "model/")
    if average is not None:
        _load(average.system, state, "ema/")
    for key, parameter, player in _weights(system, players):
        found = {name[len(key) + 1 :]: value for name, value in state.items() if name.startswith(f"{key}/")}
        if found:
            # AdamW counts its steps on the CPU; its moments lie beside the weight
            player.optimizer.state[parameter] = {
                kind: value.clone() if value.ndim == 0 and kind == "step" else value.to(parameter.device, copy=True)
                for kind, value in found.items()
            }
    for player in players:
        scale, good = state[f"scale/{player.name}"].tolist()
        if player.settings.precision == "fp16":
            player.scale, player.good_steps = scale, int(good)


def _weights(system: nn.Module, players: Sequence[Player]) -> list[tuple[str, nn.Parameter, Player]]:
    names = {id(p): name for name, p in system.named_parameters()}
    return [(f"optim/{player.name}/{names[id(p)]}", p, player) for player in players for p in player.parameters]


def _load(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    mine = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    own = module.state_dict()
    for name in sorted({*mine, *own}):
        if name not in mine or name not in own or mine[name].shape != own[name].shape:
            raise ValueError(
                f"the checkpoint is of another network: {prefix}{name} differs; resume with the same system and settings"
            )
    module.load_state_dict(mine)
