"""Pictures for a page as PNG files: 8-bit, without a time in them."""

import io
from collections.abc import Mapping

import torch
from jaxtyping import UInt8
from torch import Tensor


def png_bytes(picture: UInt8[Tensor, "h w"] | UInt8[Tensor, "3 h w"], level: int = 6) -> bytes:
    """A PNG file of a grey or a colour picture."""
    from PIL import Image

    plain = picture if picture.ndim == 2 else picture.permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(plain.cpu().contiguous().numpy()).save(file, "png", compress_level=level)
    return file.getvalue()


def with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """The same PNG file with text chunks in it, name -> value."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for name, value in text.items():
        chunks.add_text(name, value)
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(file, "png", pnginfo=chunks)
    return file.getvalue()


def eight_bit(picture: Tensor) -> Tensor:
    """Values in [0, 1] as 0 to 255."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)
