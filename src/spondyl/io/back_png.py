"""Ultrasound and back photographs as PNG with a JSON beside them, marked synthetic: they come back as the words they were.

An ultrasound image is 8-bit grey, echo 0 to 1. A photograph is two files: `name.png` in 8-bit colour and `name_depth.png` in
16-bit grey, tenths of a millimetre, 0 where the camera saw nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, PngImagePlugin
from torch import Tensor

from spondyl import __version__
from spondyl.images import BackImage, Ultrasound
from spondyl.io.outfile import output_file
from spondyl.io.png import MARK, MARK_KEY, sidecar_path

DEPTH_STEP_MM = 0.1
TOP = 65535
NOTICE = "Synthetic image, not acquired from a person; for research, not for diagnosis."


def write_ultrasound_png(image: Ultrasound, path: Path) -> list[str]:
    """One ultrasound image and its JSON; the names of both.

    Raises:
        ValueError: for a batch. OSError: where a file cannot be written.
    """
    if image.echo.ndim != 2:
        raise ValueError(f"the ultrasound is a batch of {tuple(image.echo.shape)}; write its images one by one")
    place = None if image.world_from_pixel is None else image.world_from_pixel.double().cpu().tolist()
    meta = {"quantity": "echo, 0 to 1", "pixel_spacing_mm": list(image.pixel_spacing_mm), "world_from_pixel": place}
    return _write(path, (image.echo * 255).round().to(torch.uint8).cpu().numpy(), meta)


def read_ultrasound_png(path: Path) -> Ultrasound:
    """The image of `write_ultrasound_png`, echoes within 1/510.

    Raises:
        ValueError: for a picture without its JSON, or one that is not grey. OSError: where a file cannot be read.
    """
    meta, stored = _read(path)
    spacing, place = meta.get("pixel_spacing_mm"), meta.get("world_from_pixel")
    if stored.ndim != 2 or stored.dtype != np.uint8 or not isinstance(spacing, list) or len(spacing) != 2:
        raise ValueError(f"{path} is not an ultrasound image of spondyl; wanted 8-bit grey with a spacing in its JSON")
    world_from_pixel = None if place is None else _matrix(place, 4, path)
    echo = torch.from_numpy(stored.copy()).float() / 255
    return Ultrasound(echo, (float(spacing[0]), float(spacing[1])), world_from_pixel)


def write_back_png(image: BackImage, path: Path) -> list[str]:
    """Colour at `path`, depth beside it as `<name>_depth.png`, a JSON for each; the names of all four.

    Raises:
        ValueError: for a batch, or depth beyond 6.5 m. OSError: where a file cannot be written.
    """
    if image.depth_mm.ndim != 2:
        raise ValueError(f"the photograph is a batch of {tuple(image.depth_mm.shape)}; write its images one by one")
    tenths = (torch.nan_to_num(image.depth_mm.double(), nan=0.0) / DEPTH_STEP_MM).round().cpu()
    if not 0 <= float(tenths.max()) <= TOP or float(tenths.min()) < 0:
        raise ValueError(f"depth runs to {float(tenths.max()) * DEPTH_STEP_MM:.0f} mm; wanted 0 to 6553 mm")
    camera = {
        "intrinsics": image.intrinsics.double().cpu().tolist(),
        "world_from_camera": image.world_from_camera.double().cpu().tolist(),
    }
    colour = (image.rgb * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    depth = tenths.numpy().astype(np.uint16)
    there = {"quantity": f"distance from the camera's plane, {DEPTH_STEP_MM} mm, 0 where nothing was seen", **camera}
    return [*_write(path, colour, {"quantity": "colour", **camera}), *_write(depth_path(path), depth, there)]


def read_back_png(path: Path) -> BackImage:
    """The photograph of `write_back_png` from its colour file: colour within 1/510, depth within 0.05 mm.

    Raises:
        ValueError: for files that are not such a pair. OSError: where one cannot be read.
    """
    meta, colour = _read(path)
    _, depth = _read(depth_path(path))
    if colour.ndim != 3 or colour.shape[2] != 3 or depth.dtype != np.uint16 or depth.shape != colour.shape[:2]:
        raise ValueError(f"{path} and {depth_path(path).name} are not a photograph of spondyl; one was changed alone")
    rgb = torch.from_numpy(colour.copy()).permute(2, 0, 1).float() / 255
    depth_mm = torch.from_numpy((depth.astype(np.float64) * DEPTH_STEP_MM).astype(np.float32))
    cameras = (_matrix(meta.get("intrinsics"), 3, path), _matrix(meta.get("world_from_camera"), 4, path))
    return BackImage(rgb, depth_mm, *cameras)


def depth_path(path: Path) -> Path:
    """Where the depth beside a colour picture lies."""
    return path.with_name(f"{path.stem}_depth.png")


def _write(
    path: Path, stored: np.ndarray[tuple[int, ...], np.dtype[np.generic]], meta: Mapping[str, object]
) -> list[str]:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(MARK_KEY, MARK)
    head = {"synthetic": True, "notice": NOTICE, "software": f"spondyl {__version__}", "file": path.name}
    with output_file(path) as part, output_file(sidecar_path(path)) as side:
        Image.fromarray(stored).save(part, format="PNG", pnginfo=chunks)
        side.write_text(json.dumps({**head, **meta}, indent=2) + "\n", encoding="utf-8")
    return [path.name, sidecar_path(path).name]


def _read(path: Path) -> tuple[dict[str, object], np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    side = sidecar_path(path)
    if not side.is_file():
        raise ValueError(f"{path} has no {side.name} beside it; keep the two files together")
    try:
        meta = json.loads(side.read_text(encoding="utf-8"))
        with path.open("rb") as file, Image.open(file, formats=["PNG"]) as image:
            stored = np.asarray(image)
    except (SyntaxError, ValueError, OSError) as error:  # Pillow raises the first and the last for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} or its JSON is damaged; export it again") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{side} holds no object; export it again")
    return cast("dict[str, object]", meta), stored


def _matrix(rows: object, size: int, path: Path) -> Float[Tensor, "n n"]:
    try:
        matrix = torch.tensor(rows, dtype=torch.float32)
    except (TypeError, ValueError):
        matrix = torch.zeros(0)
    if tuple(matrix.shape) != (size, size) or not bool(torch.isfinite(matrix).all()):
        raise ValueError(f"the JSON of {path} lacks a {size} x {size} matrix; export it again")
    return matrix
