"""The feature net of FID-sim, KID-sim and LPIPS-sim: the way down of the radiograph reader, which only ever saw simulated films.

It looks at radiographs after their contrast was normalised (`reading.canvas.normalised`), so it judges structure and texture, not
exposure: a film that is twice as dark has the same features. Numbers made with it compare systems of this package on its own
images and nothing in any paper; they change with the weights, whose hash is part of `name`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.reading.canvas import fitting, normalised, placed
from spondyl.reading.net import ReaderNet

ROWS = 320  # of the canvas that a whole film is shown on: a vertebra of a whole spine is about 15 pixels tall
DEEP = 2  # vectors hold the mean and the SD over the picture of the deepest levels' channels
NAME = "sim"


@dataclass(frozen=True, eq=False)
class RadiographFeatures:
    """Features of radiographs; `vectors` is what `metrics.features` calls an extractor."""

    net: ReaderNet
    sha256: str = ""

    @property
    def name(self) -> str:
        """What stands beside a value."""
        return f"{NAME} (weights {self.sha256[:12]})" if self.sha256 else NAME

    def vectors(self, images: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n d"]:
        """One vector an image of optical depth or display grey, bone bright."""
        deep = self.stages(images)[-DEEP:]
        return torch.cat([part for f in deep for part in (f.mean((2, 3)), f.std((2, 3)))], dim=1)

    def distance(self, made: Float[Tensor, "n 1 h w"], real: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n"]:
        """LPIPS-sim of each pair: squared difference of unit feature vectors, averaged over places, summed over levels.

        Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, equation 1 with every weight 1.
        """
        if made.shape != real.shape:
            raise ValueError(
                f"images have shapes {tuple(made.shape)} and {tuple(real.shape)}; wanted pairs of one size"
            )
        pairs = zip(self.stages(made), self.stages(real), strict=True)
        parts = [(functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().sum(1) for a, b in pairs]
        return torch.stack([part.mean((1, 2)) for part in parts]).sum(0)

    def stages(self, images: Float[Tensor, "n 1 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Features of every level of the net, on a canvas that holds the whole film."""
        h, w = images.shape[2:]
        way, size = fitting((h, w), (h / ROWS, h / ROWS))
        shown = [normalised(*placed(image[0].float(), way, size)) for image in images]
        return self.net.stages(torch.stack(shown))
