"""An image word as the members of an archive: `<name>.json` with kind and frame, and `.npy` with whole numbers.

    Volume      <name>.npy          int16 [z y x], HU rounded
                <name>.labels.npy   uint8 [z y x], where there are labels
    Radiograph  <name>.npy          uint16 [v u], (optical depth - DEPTH_LOW) / DEPTH_STEP
    Layers      <name>.npy          uint16 [t v u], optical depth / DEPTH_STEP
    Ultrasound  <name>.npy          uint16 [v u], echo x 65535
    BackImage   <name>.npy          uint8 [3 v u], colour x 255
                <name>.depth.npy    uint16 [v u], depth in 0.1 mm; 0 where the camera saw nothing

The scales are fixed, never an image's own range. Frames are kept bit for bit; numbers within half a step.
"""

import json
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.images import BackImage, Layers, Radiograph, Ultrasound, Volume
from spondyl.io.json_line import json_bytes, json_object
from spondyl.io.npy import Array, array_of, npy_bytes
from spondyl.io.record import PictureRecord, record_from_text
from spondyl.pairs import Image

# Optical depth 0 is open field; noise there reaches a few hundredths below. 15.5 is a transmission of one in five million.
DEPTH_LOW, DEPTH_STEP, TOP = -0.5, 2.0**-12, 65535
DEPTH_MM = 0.1
KINDS: dict[type, str] = {
    Volume: "volume",
    Radiograph: "radiograph",
    Layers: "layers",
    Ultrasound: "ultrasound",
    BackImage: "back",
}


def image_members(name: str, image: Image) -> dict[str, bytes]:
    """The members of one image, file name -> bytes; tensors are taken to the CPU.

    Raises:
        ValueError: for numbers that are not finite (depth of a BackImage excepted), or a batch.
    """
    if isinstance(image, Volume):
        frame, arrays = _volume(image)
    elif isinstance(image, Radiograph):
        record = PictureRecord(image.view, DEPTH_LOW, DEPTH_LOW + TOP * DEPTH_STEP, TOP, columns_flipped=False)
        frame, arrays = {"picture": json.loads(record.text())}, {"": record.stored(image)}
    elif isinstance(image, Layers):
        record = PictureRecord(image.view, 0.0, TOP * DEPTH_STEP, TOP, columns_flipped=False)
        frame = {"picture": json.loads(record.text())}
        arrays = {"": _whole(image.optical_depth / DEPTH_STEP, 1, 3).clip(0, TOP).astype(np.uint16)}
    elif isinstance(image, Ultrasound):
        frame = {"pixel_spacing_mm": list(image.pixel_spacing_mm), "world_from_pixel": _matrix(image.world_from_pixel)}
        arrays = {"": _whole(image.echo, TOP, 2).astype(np.uint16)}
    else:
        frame, arrays = _back(image)
    frame["kind"] = KINDS[type(image)]
    out = {f"{name}{part}.npy": npy_bytes(array) for part, array in arrays.items()}
    return {**out, f"{name}.json": json_bytes(frame)}


def image_of(name: str, content: Callable[[str], bytes], names: frozenset[str]) -> Image:
    """The image word of an archive's members.

    Args:
        name: of the image.
        content: gives the bytes of a member by its file name.
        names: the file names that are there.

    Raises:
        ValueError: where a member lacks or is damaged.
    """
    frame = json_object(content(f"{name}.json"), f"{name}.json")
    array = array_of(content(f"{name}.npy"), f"{name}.npy")
    try:
        kind = frame["kind"]
        if kind == "volume":
            labelled = f"{name}.labels.npy"
            labels = array_of(content(labelled), labelled) if labelled in names else None
            place = _tensor(frame["world_from_voxel"], 4)
            return Volume(_float(array, 1.0), place, None if labels is None else torch.from_numpy(labels))
        if kind == "radiograph":
            if array.dtype != np.uint16 or array.ndim != 2:
                raise ValueError(f"{name}.npy is {array.dtype} with {array.ndim} axes; wanted uint16 rows and columns")
            return record_from_text(json.dumps(frame["picture"])).radiograph(cast("np.ndarray", array))
        if kind == "layers":
            view = record_from_text(json.dumps(frame["picture"])).view
            return Layers(_float(array, DEPTH_STEP), view)
        if kind == "ultrasound":
            dv, du = _numbers(frame["pixel_spacing_mm"], 2)
            scan = frame["world_from_pixel"]
            return Ultrasound(_float(array, 1 / TOP), (dv, du), None if scan is None else _tensor(scan, 4))
        if kind == "back":
            depth = array_of(content(f"{name}.depth.npy"), f"{name}.depth.npy")
            pinhole, camera = _tensor(frame["intrinsics"], 3), _tensor(frame["world_from_camera"], 4)
            return BackImage(_float(array, 1 / 255), _float(depth, DEPTH_MM), pinhole, camera)
    except KeyError as error:
        raise ValueError(f"{name}.json lacks {error}; it is damaged or of another kind") from None
    raise ValueError(f"{name}.json says kind {kind!r}; wanted one of {', '.join(KINDS.values())}")


def _volume(image: Volume) -> tuple[dict[str, object], dict[str, Array]]:
    hu = image.hu.detach().cpu()
    _check_finite(hu, "hu")
    arrays: dict[str, Array] = {"": hu.round().clamp(-32768, 32767).to(torch.int16).numpy()}
    if image.labels is not None:
        arrays[".labels"] = image.labels.detach().cpu().to(torch.uint8).numpy()
    return {"world_from_voxel": _matrix(image.world_from_voxel)}, arrays


def _back(image: BackImage) -> tuple[dict[str, object], dict[str, Array]]:
    depth = torch.nan_to_num(image.depth_mm.detach().cpu(), nan=0.0, posinf=0.0, neginf=0.0)
    if depth.ndim != 2:
        raise ValueError(f"depth_mm has shape {tuple(depth.shape)}; wanted one image; write a batch one by one")
    frame: dict[str, object] = {
        "intrinsics": _matrix(image.intrinsics),
        "world_from_camera": _matrix(image.world_from_camera),
    }
    stored = (depth / DEPTH_MM).round().clamp(0, TOP).numpy().astype(np.uint16)
    return frame, {"": _whole(image.rgb, 255, 3).astype(np.uint8), ".depth": stored}


def _whole(values: Tensor, top: int, axes: int) -> Array:
    plain = values.detach().cpu()
    _check_finite(plain, "the image")
    if plain.ndim != axes:
        raise ValueError(f"the image has shape {tuple(plain.shape)}; wanted one image; write a batch one by one")
    whole: Array = (plain.double() * top).round().numpy()
    return whole


def _float(array: Array, step: float) -> Float[Tensor, "*n"]:
    """float32 numbers of stored whole ones; multiplied in float64, so that they are the nearest ones."""
    if step == 1.0:
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy((array.astype(np.float64) * step).astype(np.float32))


def _check_finite(values: Tensor, what: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{what} holds NaN or infinite numbers; wanted finite ones; mend it before writing")


def _matrix(matrix: Tensor | None) -> list[list[float]] | None:
    return None if matrix is None else matrix.detach().cpu().double().tolist()


def _tensor(rows: object, n: int) -> Float[Tensor, "n n"]:
    flat = [x for row in (rows if isinstance(rows, list) else []) for x in _numbers(row, n)]
    if len(flat) != n * n:
        raise ValueError(f"a matrix of a frame is not {n} x {n}; the record is damaged")
    return torch.tensor(flat, dtype=torch.float32).reshape(n, n)


def _numbers(values: object, n: int) -> list[float]:
    if not isinstance(values, list) or len(values) != n or not all(isinstance(x, int | float) for x in values):
        raise ValueError(f"a frame holds {values!r}; wanted {n} numbers")
    return [float(x) for x in values]
