"""What `bench_train.py` measures on: simulated cases, one film, and the plain U-Nets that it is compared with."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from spondyl.pairs import Pair
    from spondyl.systems.xray_to_corners import XrayToCorners

FILM = (512, 256)
WINDOW = 8.0  # optical depth that is white, as in the PNG files
ALONE, CANVAS = "net alone", "whole canvas"


def peer_step(
    system: "XrayToCorners", peer: str, size: tuple[int, int, int], dtype: "torch.dtype | None"
) -> Callable[[], object]:
    """Forward, backward and AdamW of a plain U-Net on noise of that size."""
    import torch

    net = peer_net(system, peer).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    pictures = torch.randn(cells(peer, *size))

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = net(pictures).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def peer_net(system: "XrayToCorners", peer: str) -> "torch.nn.Module":
    """MONAI's BasicUNet as wide as the reader's, with as many maps to give."""
    from monai.networks.nets.basic_unet import BasicUNet

    from spondyl.reading.net import CHANNELS_IN, STRIDE

    channels = CHANNELS_IN * (STRIDE**2 if peer == ALONE else 1)
    maps = system.net.unet.final_conv.out_channels
    norm = ("group", {"num_groups": 8})
    return BasicUNet(2, channels, maps, features=system.config.widths, act=("relu", {"inplace": True}), norm=norm)


def cells(peer: str, n: int, h: int, w: int) -> tuple[int, int, int, int]:
    """The shape of what a peer sees of n canvases."""
    from spondyl.reading.net import CHANNELS_IN, STRIDE

    return (n, CHANNELS_IN * STRIDE**2, h // STRIDE, w // STRIDE) if peer == ALONE else (n, CHANNELS_IN, h, w)


def pairs(spacing_mm: float, count: int) -> "list[Pair]":
    """Layers of simulated patients from behind and from the side."""
    from spondyl.pairs import Pair
    from spondyl.sim.layers import LayerSensor
    from spondyl.sim.make import Wish, patient_for
    from spondyl.sim.patient import subject
    from spondyl.sim.seeds import generator_of

    made = []
    for seed in range(count):
        patient = patient_for(Wish(cohort="screening"), generator=generator_of(seed, "patient"))
        person = subject(patient, spacing_mm=spacing_mm)
        pa, lateral = (LayerSensor(view)(person, generator=generator_of(seed, view)) for view in ("pa", "lateral"))
        made.append(Pair(pa, lateral, person.spine, seed))
    return made


def one_film(spacing_mm: float) -> "torch.Tensor":
    """The PA film of the demo's patient, FILM rows and columns, bone bright."""
    import torch
    from torch.nn import functional

    from spondyl.sim.patient import demo_patient, subject
    from spondyl.sim.radiograph import RadiographSensor

    taken = RadiographSensor("pa")(
        subject(demo_patient(), spacing_mm=spacing_mm), generator=torch.Generator().manual_seed(0)
    )
    depth = taken.optical_depth
    wide = round(depth.shape[1] * FILM[0] / depth.shape[0])
    film = functional.interpolate((depth / WINDOW).clamp(0, 1)[None, None], (FILM[0], wide), mode="area")[0, 0]
    aside = max(0, FILM[1] - wide)
    film = functional.pad(film, (aside // 2, aside - aside // 2))
    left = (film.shape[1] - FILM[1]) // 2
    return film[:, left : left + FILM[1]].contiguous()
