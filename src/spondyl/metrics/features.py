"""Feature vectors of images by any net, and the name that goes with every number made from them.

A Frechet distance in one net's features cannot be compared with that in another's. So a result never is "FID": it is
FID-<name of the net>. `SIM` is the name of the small radiograph net trained on simulator output; FID-sim and KID-sim
compare our own systems on our own images and nothing in any paper.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

SIM = "sim"
Extractor = Callable[[Tensor], Tensor]


def features(images: Float[Tensor, "n 1 *space"], extractor: Extractor, *, batch: int = 16) -> Float[Tensor, "n d"]:
    """Feature vectors of all images, float64 on the CPU, without gradients.

    Args:
        extractor: takes "b 1 ..." images in the scale it was trained on, gives "b d" vectors. Resizing, repeating grey to
            three channels and scaling are its business; they are part of its name.
        batch: images at a time.

    Raises:
        ValueError: for no images, or an extractor that does not give one finite vector an image.
    """
    if not len(images) or batch < 1:
        raise ValueError(f"{len(images)} images in batches of {batch}; wanted at least one of each")
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            vectors = extractor(some)
            if vectors.ndim != 2 or len(vectors) != len(some):
                raise ValueError(
                    f"extractor gave {tuple(vectors.shape)} for {len(some)} images; wanted {len(some)} x d"
                )
            parts.append(vectors.double().cpu())
    joined = torch.cat(parts)
    check_features(joined, joined, SIM)
    return joined


def check_features(real: Float[Tensor, "n d"], made: Float[Tensor, "m e"], net: str) -> None:
    """Raises ValueError unless both sets are finite, of one length of vector, and the net has a name."""
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or not real.shape[1]:
        raise ValueError(
            f"features are {tuple(real.shape)} and {tuple(made.shape)}; wanted vectors of one net for both"
        )
    if not bool(torch.isfinite(real).all() & torch.isfinite(made).all()):
        raise ValueError("features hold NaN or infinity; look at the images that made them")
    if not net.strip():
        raise ValueError(
            "the feature net has no name; give one, such as 'sim', for the number means nothing without it"
        )
