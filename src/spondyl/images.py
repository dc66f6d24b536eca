"""The image words: Volume, Radiograph, Ultrasound, BackImage. A tensor, its unit, its frame; no file, no display.

World LPS, millimetres. Any other scale (display grey, DICOM stored values, a network's [-1, 1]) exists at the rim or
inside a system, never in these types.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.geometry import View
from spondyl.spine import LEVEL_LABELS

# Label values of everything that is not a vertebra: after VerSe's own (26 sacrum, 27 coccyx, 28 T13) ours from 30 on.
STRUCTURE_LABELS: dict[str, int] = {
    "background": 0,
    **LEVEL_LABELS,
    "coccyx": 27,
    "disc": 30,
    "rib": 31,
    "pelvis": 32,
    "femur": 33,
    "sternum": 34,
    "scapula": 35,
    "clavicle": 36,
    "humerus": 37,
    "skull": 38,
    "lung": 40,
    "heart": 41,
    "liver": 42,
    "gas": 43,
    "muscle": 44,
    "fat": 45,
    "skin": 46,
    "cartilage": 47,
    "organ": 48,
    "metal": 50,
}
BONE_LABELS: tuple[int, ...] = (*sorted(v for v in LEVEL_LABELS.values()), 27, *range(31, 39))


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT: Hounsfield units on a grid, and where the grid lies.

    Args:
        hu: attenuation, HU, stored [z, y, x] (slowest index first).
        world_from_voxel: maps voxel positions (x, y, z, 1), whole numbers at voxel centres, to world LPS mm.
            Any invertible affine: oblique, anisotropic, mirrored, sheared (gantry tilt).
        labels: structure of each voxel (STRUCTURE_LABELS), or None.
    """

    hu: Float[Tensor, "z y x"]
    world_from_voxel: Float[Tensor, "4 4"]
    labels: Integer[Tensor, "z y x"] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or min(self.hu.shape) < 1:
            raise ValueError(f"hu has shape {tuple(self.hu.shape)}; wanted three dimensions (z, y, x), none empty")
        m = self.world_from_voxel
        if tuple(m.shape) != (4, 4) or not bool(torch.isfinite(m).all()):
            raise ValueError("world_from_voxel is not a finite 4 x 4 matrix; give the grid's affine in LPS mm")
        if abs(float(torch.linalg.det(m[:3, :3].double()))) < 1e-9:
            raise ValueError(
                "world_from_voxel flattens the grid (a spacing is zero or two axes agree); wanted an invertible one"
            )
        if self.labels is not None and self.labels.shape != self.hu.shape:
            raise ValueError(
                f"labels have shape {tuple(self.labels.shape)}, hu {tuple(self.hu.shape)}; wanted the same grid"
            )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along x, y and z of the grid, mm."""
        s = self.world_from_voxel[:3, :3].double().norm(dim=0).tolist()
        return (s[0], s[1], s[2])

    @property
    def centre_mm(self) -> tuple[float, float, float]:
        """World position of the middle of the grid, LPS mm."""
        middle = torch.tensor([(n - 1) / 2 for n in reversed(self.hu.shape)], dtype=torch.float64)
        m = self.world_from_voxel.double().cpu()
        c = (m[:3, :3] @ middle + m[:3, 3]).tolist()
        return (c[0], c[1], c[2])

    def corners_mm(self) -> Float[Tensor, "8 3"]:
        """The eight outer corners of the grid (voxel faces, not centres), world LPS mm, float64."""
        n = torch.tensor(list(reversed(self.hu.shape)), dtype=torch.float64)
        unit = torch.tensor([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)], dtype=torch.float64)
        m = self.world_from_voxel.double().cpu()
        return (unit * n - 0.5) @ m[:3, :3].T + m[:3, 3]

    def to(self, device: torch.device | str) -> "Volume":
        """The same volume on another device."""
        return replace(
            self,
            hu=self.hu.to(device),
            world_from_voxel=self.world_from_voxel.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A radiograph: optical depth, minus the natural log of transmission, dimensionless; bone is high.

    Rows and columns are the view's: seen from the source (a PA from behind). `view` is a batch where the image is.
    """

    optical_depth: Float[Tensor, "*b h w"]
    view: View

    def __post_init__(self) -> None:
        if tuple(self.optical_depth.shape[-2:]) != self.view.shape_px:
            raise ValueError(
                f"optical_depth is {tuple(self.optical_depth.shape[-2:])} pixels, its view {self.view.shape_px}"
            )
        if self.optical_depth.shape[:-2] != self.view.batch_shape:
            raise ValueError(
                f"optical_depth holds {tuple(self.optical_depth.shape[:-2])} images, its view {tuple(self.view.batch_shape)}"
            )

    def map(self, fn: Callable[[Tensor], Tensor]) -> "Radiograph":
        """The same exposure with other optical depths."""
        return replace(self, optical_depth=fn(self.optical_depth))


# Kinds of tissue whose share of a radiograph `Layers` keeps apart. "shell" is the dense part of vertebrae, "spongy" the rest
# of them, "bones" every other bone but the ribs.
LAYERS: tuple[str, ...] = ("soft", "fat", "lung", "heart", "ribs", "bones", "metal", "spongy", "shell")


@dataclass(frozen=True, eq=False)
class Layers:
    """What each kind of tissue alone adds to a radiograph; their sum is its optical depth at one energy, without scatter.

    Args:
        optical_depth: one picture a kind, in the order of LAYERS.
        view: the exposure, not a batch.
    """

    optical_depth: Float[Tensor, "t h w"]
    view: View

    def __post_init__(self) -> None:
        wanted = (len(LAYERS), *self.view.shape_px)
        if tuple(self.optical_depth.shape) != wanted:
            raise ValueError(
                f"optical_depth has shape {tuple(self.optical_depth.shape)}; wanted {wanted}, one picture a layer"
            )


@dataclass(frozen=True, eq=False)
class Ultrasound:
    """A coronal volume-projection image of the back: echo in [0, 1] after display compression, seen from behind."""

    echo: Float[Tensor, "*b h w"]
    pixel_spacing_mm: tuple[float, float]
    world_from_pixel: Float[Tensor, "*b 4 4"] | None = None

    def __post_init__(self) -> None:
        low, high = float(self.echo.min()), float(self.echo.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"echo runs from {low:.3g} to {high:.3g}; wanted values in [0, 1]")
        if not all(s > 0 for s in self.pixel_spacing_mm):
            raise ValueError(f"pixel_spacing_mm is {self.pixel_spacing_mm}; wanted two positive values (v, u)")


@dataclass(frozen=True, eq=False)
class BackImage:
    """A colour and depth photograph of the back.

    Args:
        rgb: linear or sRGB-coded colour in [0, 1].
        depth_mm: distance from the camera plane, mm; 0 or NaN where the camera saw nothing.
        intrinsics: pinhole matrix in pixels, acting on (u, v, 1).
        world_from_camera: rigid placement of the camera (x right, y down, z forward), mm.
    """

    rgb: Float[Tensor, "*b 3 h w"]
    depth_mm: Float[Tensor, "*b h w"]
    intrinsics: Float[Tensor, "*b 3 3"]
    world_from_camera: Float[Tensor, "*b 4 4"]

    def __post_init__(self) -> None:
        if self.rgb.shape[-2:] != self.depth_mm.shape[-2:]:
            raise ValueError(
                f"rgb is {tuple(self.rgb.shape[-2:])} pixels, depth {tuple(self.depth_mm.shape[-2:])}; register them"
            )
        if float(self.rgb.min()) < 0 or float(self.rgb.max()) > 1:
            raise ValueError("rgb leaves [0, 1]; divide 8-bit colour by 255")
