"""Settings: frozen, checked when they are made, and free of keys that nobody reads. Those of training stand here."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of all settings. Unknown keys, NaN and infinity are refused; nothing can be changed after."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Optim(Settings):
    """AdamW of one player (Loshchilov and Hutter 2019, algorithm 2) and its learning rate over the steps.

    The rate rises linearly over `warmup_steps`; then it stays, or falls as half a cosine to `final_lr` x `lr` at the last step.
    """

    lr: float = Field(default=2e-4, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, ge=0, description="largest norm of a player's gradient; 0 leaves it alone")
    warmup_steps: int = Field(default=0, ge=0)
    decay: Literal["constant", "cosine"] = "cosine"
    final_lr: float = Field(default=0.01, ge=0, le=1, description="share of lr at the last step of the cosine")


class Training(Settings):
    """One run of the training loop.

    A step takes `batch` x `accumulate` cases in every process, shows them to each player in turn, and moves its weights once.
    """

    steps: int = Field(default=10_000, gt=0)
    batch: int = Field(default=4, gt=0, description="cases at once in one process")
    accumulate: int = Field(default=1, gt=0, description="batches whose gradients are averaged before the weights move")
    seed: int = Field(default=0, ge=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    deterministic: bool = Field(
        default=True, description="only kernels that give the same numbers again, where torch has them"
    )
    optim: Optim = Optim()
    optim_of: dict[str, Optim] = Field(default={}, description="by player: what differs from optim")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="moving average of the weights; 0 keeps none")
    workers: int = Field(default=0, ge=0, description="processes that make batches; 0: the training process itself")
    log_every: int = Field(default=10, gt=0, description="steps")
    picture_every: int = Field(default=500, gt=0, description="steps between pictures and losses of the held-out cases")
    save_every: int = Field(default=500, gt=0, description="steps between checkpoints")
    save_minutes: float = Field(default=15.0, gt=0, description="longest time between checkpoints")

    def optim_for(self, player: str) -> Optim:
        """The optimiser of a player: `optim`, changed where `optim_of` says so."""
        own = self.optim_of.get(player)
        if own is None:
            return self.optim
        return self.optim.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


@dataclass(frozen=True)
class Preset:
    """One row of a system's PRESETS: the settings of its model and of its training."""

    model: Settings
    train: Training
