"""Three small systems (a regression, a diffusion, a GAN) on pairs of small pictures that are a function of their number."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spondyl.geometry import View
from spondyl.images import Radiograph, Ultrasound
from spondyl.pairs import Batch, Pair
from spondyl.spine import SpineCurve
from spondyl.system import Optim, Preset, Settings, System, Training
from spondyl.train import Cases

SHAPE = (12, 8)


def toy_pair(index: int) -> Pair:
    """A picture of soft noise and a radiograph that is twice its mirror image plus one."""
    noise = torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(index))
    echo = functional.avg_pool2d(noise, 3, 1, 1).sigmoid()[0, 0]
    truth = Radiograph(2 * echo.flip(1) + 1, View.around((0, 0, 0), shape_px=SHAPE))
    spine = SpineCurve(("T8",), torch.zeros(1, 3), torch.eye(3)[None], torch.ones(1, 3), torch.zeros(1, 2, 3, 3))
    return Pair(Ultrasound(echo, (1.0, 1.0)), truth, spine, index)


def toy_cases(count: int | None = 10) -> Cases:
    return Cases(toy_pair, count, "toys")


class ToyConfig(Settings):
    """Settings of every toy."""

    width: int = 8
    dropout: float = 0.1


def toy_training(steps: int = 8, **changes: object) -> Training:
    """Small, with everything on: average, accumulation, clipping, warmup, cosine."""
    few = {"steps": steps, "batch": 2, "accumulate": 2, "ema_decay": 0.9, "log_every": 2, "save_every": 1000}
    optim = Optim(lr=3e-3, warmup_steps=2)
    return Training.model_validate({**few, "picture_every": 1000, "optim": optim, **changes})


def net(width: int, dropout: float, inputs: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, (3, 9), padding=(1, 4)), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout),
        nn.Conv2d(width, 1, (3, 9), padding=(1, 4)),
    )  # fmt: skip


class Toy(System):
    """What the toys share: ultrasound in, radiograph out."""

    source, target, modalities = Ultrasound, Radiograph, ("ultrasound", "pa")
    Config = ToyConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "tiny": Preset(ToyConfig(width=4), toy_training(6)),
        "paper": Preset(ToyConfig(), toy_training(1000, optim_of={"model": Optim(beta1=0.5)})),
    }

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.net = net(config.width, config.dropout)

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b h w"]:
        return self.net(source[:, None])[:, 0]


class ToyRegression(Toy):
    name = "toy_regression"

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return functional.mse_loss(self.net(batch.source[:, None])[:, 0], batch.target)


class ToyDiffusion(Toy):
    """Denoises the radiograph beside the ultrasound; samples in two steps."""

    name = "toy_diffusion"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.net = net(config.width, config.dropout, inputs=2)

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        clean = batch.target[:, None]
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        share = torch.rand(len(clean), 1, 1, 1, generator=generator, device=clean.device)
        made = self.net(torch.cat([batch.source[:, None], (1 - share) * clean + share * noise], dim=1))
        return functional.mse_loss(made, clean)

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b h w"]:
        state = torch.randn(source[:, None].shape, generator=generator, device=source.device)
        for share in (1.0, 0.5):
            clean = self.net(torch.cat([source[:, None], state], dim=1))
            state = clean + (share - 0.5) * state
        return clean[:, 0]


class ToyGan(Toy):
    """A generator that also wants to be near, and a critic with spectral norm (a buffer that moves in training)."""

    name = "toy_gan"
    usual: torch.Tensor

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        first = nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, config.width, 3, stride=2))
        self.critic = nn.Sequential(first, nn.LeakyReLU(0.2), nn.Conv2d(config.width, 1, 3))
        self.register_buffer("usual", torch.zeros(()))

    def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.net.parameters())}

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        made = self.net(batch.source[:, None])
        if self.training:  # a memory that the loss depends on
            self.usual.lerp_(batch.target.mean(), 0.1)
        if player == "critic":
            real = batch.target[:, None] + 0.05 * torch.randn(batch.target[:, None].shape, generator=generator)
            return (
                functional.relu(1 - self.critic(real)).mean() + functional.relu(1 + self.critic(made.detach())).mean()
            )
        return functional.l1_loss(made[:, 0], batch.target) * (1 + 0.1 * self.usual) - 0.01 * self.critic(made).mean()


TOYS: dict[str, type[Toy]] = {toy.name: toy for toy in (ToyRegression, ToyDiffusion, ToyGan)}
