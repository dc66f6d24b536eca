"""What a picture file must carry to become a Radiograph again: the view, the depth scale, and whether it was flipped."""

import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt16
from numpy import ndarray

from spondyl.geometry import BEAMS, View
from spondyl.images import Radiograph

FORMAT = 1
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class PictureRecord:
    """How stored whole numbers 0 ... `top` of one picture stand for optical depth in a view.

    Args:
        view: one exposure, as seen from the source.
        depth_low: optical depth of stored 0.
        depth_high: optical depth of stored `top`; the scale between is linear.
        top: the largest stored number, for example 65535.
        columns_flipped: the stored columns run against the view's u.
    """

    view: View
    depth_low: float
    depth_high: float
    top: int
    columns_flipped: bool

    def __post_init__(self) -> None:
        low, high = self.depth_low, self.depth_high
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"the window of optical depth is ({low}, {high}); wanted two finite numbers, low before high"
            )
        if self.view.batch_shape:
            raise ValueError(f"the view is a batch of {tuple(self.view.batch_shape)}; write its exposures one by one")

    @property
    def step(self) -> float:
        """Optical depth between neighbouring stored numbers."""
        return (self.depth_high - self.depth_low) / self.top

    def stored(self, radiograph: Radiograph) -> UInt16[ndarray, "h w"]:
        """The stored numbers, rounded; depths outside the window become its ends. Raises ValueError for NaN."""
        depth = radiograph.optical_depth.detach().to("cpu", torch.float64).numpy()
        if not np.isfinite(depth).all():
            raise ValueError(
                "the radiograph holds NaN or infinite optical depth; wanted finite numbers; mend it before writing"
            )
        whole = np.clip(np.rint((depth - self.depth_low) / self.step), 0, self.top).astype(np.uint16)
        return np.ascontiguousarray(whole[:, ::-1] if self.columns_flipped else whole)

    def radiograph(self, stored: UInt16[ndarray, "h w"]) -> Radiograph:
        """The radiograph behind stored numbers: float32, within half a step where the window did not clip."""
        if stored.shape != self.view.shape_px:
            raise ValueError(
                f"the picture is {stored.shape} pixels, its view {self.view.shape_px}; one was changed alone"
            )
        whole = stored[:, ::-1] if self.columns_flipped else stored
        depth = self.depth_low + whole.astype(np.float64) * self.step
        return Radiograph(torch.from_numpy(depth.astype(np.float32)), self.view)

    def text(self) -> str:
        """The record as JSON on one line; floats in full, so that the view comes back bit for bit."""
        view = self.view
        matrix = view.world_from_detector.detach().cpu()
        return json.dumps(
            {
                "format": FORMAT,
                "world_from_detector": matrix.double().flatten().tolist(),
                "source_to_detector_mm": float(view.source_to_detector_mm),
                "pixel_spacing_mm": list(view.pixel_spacing_mm),
                "shape_px": list(view.shape_px),
                "beam": view.beam,
                "dtype": str(matrix.dtype).removeprefix("torch."),
                "depth_low": self.depth_low,
                "depth_high": self.depth_high,
                "top": self.top,
                "columns_flipped": self.columns_flipped,
            }
        )


def record_from_text(text: str) -> PictureRecord:
    """The record of `PictureRecord.text`. Raises ValueError with one sentence where the text is damaged or newer."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT or raw["beam"] not in BEAMS:
            raise ValueError(f"format {raw['format']}")
        dtype = DTYPES[raw["dtype"]]
        spacing, shape = [float(s) for s in raw["pixel_spacing_mm"]], [int(n) for n in raw["shape_px"]]
        view = View(
            torch.tensor([float(x) for x in raw["world_from_detector"]], dtype=dtype).reshape(4, 4),
            torch.tensor(float(raw["source_to_detector_mm"]), dtype=dtype),
            (spacing[0], spacing[1]),
            (shape[0], shape[1]),
            raw["beam"],
        )
        return PictureRecord(
            view, float(raw["depth_low"]), float(raw["depth_high"]), int(raw["top"]), bool(raw["columns_flipped"])
        )
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError):
        raise ValueError(
            "the geometry record of the picture is damaged or of a newer version; wanted one that spondyl wrote"
        ) from None
