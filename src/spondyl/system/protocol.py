"""System: the only word that training and evaluation know of a paper."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import TypeVar

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.pairs import Batch, Image, Pair, collate, tensor_of
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system.folder import load_into, read_config, resolve_folder, write_folder
from spondyl.system.settings import Preset, Settings

BatchT = TypeVar("BatchT", default=Batch)
Word = Image | Corners | UltrasoundMarks
# Answers of these may lack what was not seen.
READINGS = (Corners, UltrasoundMarks)


class System(nn.Module, ABC, Generic[BatchT]):
    """A way from one image to another, or to corners: how it learns and how it answers.

    A subclass names five class attributes, takes its settings in `__init__` (and hands them on with `super().__init__(config)`),
    and defines `loss` and `sample`; `players`, `collate`, `read` and `wrap` have defaults. `System[MyBatch]` says that `collate`
    makes batches of another kind than `Batch`.

    Attributes:
        name: as in SYSTEMS and on the command line.
        source, target: classes of the words that go in and come out.
        modalities: names of both in a cohort: ("ultrasound", "pa").
        Config: class of the settings; its defaults are the paper's.
        presets: "tiny" trains on two CPU cores, "small" on one GPU in minutes, "paper" is the paper's.
    """

    name: ClassVar[str]
    source: ClassVar[type]
    target: ClassVar[type]
    modalities: ClassVar[tuple[str, str]]
    Config: ClassVar[type[Settings]] = Settings
    presets: ClassVar[Mapping[str, Preset]] = {}

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.config = config

    def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Who learns, in the order of their turns, with the weights of each. Default: one player with all weights.

        A weight belongs to one player at most; weights of no player stay as they are.
        """
        return {"model": list(self.parameters())}

    def collate(self, pairs: Sequence[Pair]) -> BatchT:
        """A batch for `loss`: a dataclass, tuple or dict with tensors. Runs in the data processes, without random numbers."""
        return cast("BatchT", collate(pairs))

    @abstractmethod
    def loss(self, batch: BatchT, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        """What the player wants small, the mean over the batch. All noise comes from `generator`, on the batch's device."""

    @abstractmethod
    def sample(
        self, source: Float[Tensor, "b *c"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b *d"]:
        """Answers in the target's unit (optical depth, HU, pixels) to sources as `read` gives them, all seen in one view."""

    def read(self, image: Image) -> Float[Tensor, "*c"]:
        """The numbers of one image that `sample` takes. Default: those of the word, in its unit."""
        return tensor_of(image)

    def wrap(self, answer: Float[Tensor, "*d"], image: Image, view: View | None) -> Word:
        """The word of one answer. Default: a radiograph in `view`; other targets override it."""
        if self.target is not Radiograph or view is None:
            raise NotImplementedError(f"{type(self).__name__} makes {self.target.__name__}: it must define wrap")
        return Radiograph(answer, view)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first = next(self.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @final
    def translate(
        self, image: Image, view: View | None = None, *, samples: int = 1, generator: torch.Generator
    ) -> tuple[Word, ...]:
        """Answers to one image as words on the CPU, `samples` of them: weights as they are, no dropout, no gradient.

        Args:
            image: of the class `source`.
            view: the exposure to answer in; needed where the target is a radiograph.
            generator: of any device; the same state gives the same answers.

        Raises:
            ValueError: for an image of another kind, a missing view, fewer than one sample, an answer with NaN.
        """
        if not isinstance(image, self.source):
            raise ValueError(
                f"{self.name} takes a {self.source.__name__}, not a {type(image).__name__}; give it one of those"
            )
        if self.target is Radiograph and view is None:
            raise ValueError(
                f"{self.name} makes a radiograph and needs its view; give one, for example View.around(...)"
            )
        if samples < 1:
            raise ValueError(f"samples is {samples}; wanted 1 or more")
        source = self.read(image).detach().to(self.device, torch.float32)
        noise = _moved(generator, self.device)
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                answers = self.sample(source.expand(samples, *source.shape), view, generator=noise)
        finally:
            self.train(was_training)
        if bool(torch.isinf(answers).any()) or (self.target not in READINGS and bool(torch.isnan(answers).any())):
            raise ValueError(f"{self.name} gave numbers that are not finite; train it again or use other weights")
        return tuple(self.wrap(answer, image, view) for answer in answers.float().cpu())

    @final
    def save_pretrained(self, folder: Path, *, card: str = "", dtype: torch.dtype | None = None) -> None:
        """Write model.safetensors, config.json and card.md into a folder, each whole or not at all.

        Args:
            card: what it was trained on, how good it is, what it must not be used for; Markdown.
            dtype: of the stored floating-point weights, float16 for small files; default: as they are.

        Raises:
            OSError: where a file cannot be written.
        """
        write_folder(folder, self.name, self.config, self.state_dict(), card=card, dtype=dtype)

    @classmethod
    def from_pretrained(
        cls, source: Path | str, *, offline: bool = True, revision: str | None = None
    ) -> "System[BatchT]":
        """The system of a folder that `save_pretrained` or training wrote, or of a hub id "owner/name", on the CPU.

        Args:
            offline: take a hub id from this machine's cache only. False allows the download.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: where there is nothing, the folder is of another system, or a file is damaged.
        """
        folder = resolve_folder(source, offline=offline, revision=revision)
        system = cls(read_config(folder, cls.name, cls.Config))
        load_into(system, folder)
        return system.eval()


def _moved(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on the device: the same one, or one seeded from it."""
    if generator.device.type == device.type:
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator(device=device).manual_seed(int(seed))
