"""Rigid motions and views: which ray belongs to which pixel, and which pixel shows a point.

World frame: DICOM patient space, LPS (+x patient left, +y posterior, +z cranial), millimetres.
Detector frame: origin at the detector's centre, +x along growing columns u, +y along growing rows v, +z along the
beam, from source to detector. The image is therefore what an eye at the source would see: a PA view is seen from behind.
A pixel position is always (v, u), row before column; whole numbers are pixel centres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Beam = Literal["cone", "slot", "parallel"]
BEAMS: tuple[Beam, ...] = ("cone", "slot", "parallel")

# Azimuth of the source about the patient's long axis, degrees: 0 is behind the patient (the beam runs
# postero-anterior), 90 is on the patient's right (left lateral film, the patient faces right in the image).
NAMED_VIEWS_DEG: dict[str, float] = {
    "pa": 0.0,
    "lateral": 90.0,
    "left_lateral": 90.0,
    "ap": 180.0,
    "right_lateral": 270.0,
}


def transform_points(b_from_a: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Points of frame a in frame b, for homogeneous 4 x 4 matrices acting on column vectors."""
    rotated = points @ b_from_a[..., :3, :3].mT
    return rotated + b_from_a[..., None, :3, 3]


def inverse_rigid(b_from_a: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """The inverse of rotations with translations: R^T, -R^T t. Exact to rounding and differentiable."""
    rotation_t = b_from_a[..., :3, :3].mT
    shift = -(rotation_t @ b_from_a[..., :3, 3:])
    top = torch.cat([rotation_t, shift], dim=-1)
    return torch.cat([top, b_from_a[..., 3:, :]], dim=-2)


def rigid(rotation: Float[Tensor, "*b 3 3"], translation_mm: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """The 4 x 4 matrix of a rotation followed by a translation in mm."""
    top = torch.cat([rotation, translation_mm[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


@dataclass(frozen=True, eq=False)
class View:
    """One exposure (or a batch of them that share detector and beam): where the detector stands and where rays start.

    Args:
        world_from_detector: rigid placement of the detector, mm; see the module's text for its axes.
        source_to_detector_mm: distance from the source to the detector plane along its normal. A parallel beam has
            no source; there the number only says where rays begin.
        pixel_spacing_mm: (v, u) spacing on the detector, not at the patient.
        shape_px: (v, u), rows and columns.
        beam: "cone": one source point. "slot": the source climbs with v, so rows are parallel to each other and the
            height is never magnified, as in biplanar full-spine scanners. "parallel": all rays along +z.

    Raises:
        ValueError: for a matrix that is not rigid (a mirrored one included), a distance or spacing that is not
            positive and finite, an empty detector, an unknown beam.
    """

    world_from_detector: Float[Tensor, "*b 4 4"]
    source_to_detector_mm: Float[Tensor, "*b"]
    pixel_spacing_mm: tuple[float, float]
    shape_px: tuple[int, int]
    beam: Beam = "cone"

    def __post_init__(self) -> None:
        m = self.world_from_detector
        if m.shape[-2:] != (4, 4):
            raise ValueError(f"world_from_detector has shape {tuple(m.shape)}; wanted (..., 4, 4)")
        if self.source_to_detector_mm.shape != m.shape[:-2]:
            raise ValueError(
                f"source_to_detector_mm has shape {tuple(self.source_to_detector_mm.shape)}; wanted one distance a "
                f"view, {tuple(m.shape[:-2])}"
            )
        with torch.no_grad():
            _check_rigid(m.detach())
            d = self.source_to_detector_mm
            if not bool(torch.all(torch.isfinite(d) & (d > 0))):
                raise ValueError(f"source_to_detector_mm is {d.tolist()}; wanted positive, finite millimetres")
        if not all(math.isfinite(s) and s > 0 for s in self.pixel_spacing_mm):
            raise ValueError(
                f"pixel_spacing_mm is {self.pixel_spacing_mm}; wanted two positive millimetre values (v, u)"
            )
        if min(self.shape_px) < 1:
            raise ValueError(f"shape_px is {self.shape_px}; wanted at least one row and one column")
        if self.beam not in BEAMS:
            raise ValueError(f"beam is {self.beam!r}; wanted one of {', '.join(BEAMS)}")

    @classmethod
    def around(
        cls,
        centre_mm: Sequence[float],
        *,
        angle_deg: float = 0.0,
        tilt_deg: float = 0.0,
        source_to_detector_mm: float = 1800.0,
        source_to_centre_mm: float | None = None,
        pixel_spacing_mm: tuple[float, float] = (1.0, 1.0),
        shape_px: tuple[int, int] = (512, 256),
        beam: Beam = "cone",
    ) -> "View":
        """The view of an upright gantry turned about a point of the patient.

        Args:
            centre_mm: the point on the central ray, world LPS.
            angle_deg: azimuth of the source: 0 behind the patient (PA), 90 on the patient's right (left lateral),
                180 in front (AP), 270 on the patient's left.
            tilt_deg: the source raised cranially by this angle, about the same point; (-90, 90).
            source_to_centre_mm: source to `centre_mm`; default 5/6 of the source-detector distance.
        """
        if not -90 < tilt_deg < 90:
            raise ValueError(f"tilt_deg is {tilt_deg}; wanted an angle between -90 and 90")
        to_centre = source_to_detector_mm * 5 / 6 if source_to_centre_mm is None else source_to_centre_mm
        if not 0 < to_centre <= source_to_detector_mm:
            raise ValueError(f"source_to_centre_mm is {to_centre}; wanted a value in (0, {source_to_detector_mm}]")
        a, t = math.radians(angle_deg), math.radians(tilt_deg)
        to_source = torch.tensor(
            [-math.sin(a) * math.cos(t), math.cos(a) * math.cos(t), math.sin(t)], dtype=torch.float64
        )
        u = torch.tensor([-math.cos(a), -math.sin(a), 0.0], dtype=torch.float64)
        beam_axis = -to_source
        v = torch.linalg.cross(beam_axis, u)
        centre = torch.as_tensor(list(centre_mm), dtype=torch.float64)
        middle = centre + beam_axis * (source_to_detector_mm - to_centre)
        return cls(
            world_from_detector=rigid(torch.stack([u, v, beam_axis], dim=-1), middle).to(torch.float32),
            source_to_detector_mm=torch.tensor(float(source_to_detector_mm)),
            pixel_spacing_mm=pixel_spacing_mm,
            shape_px=shape_px,
            beam=beam,
        )

    @property
    def batch_shape(self) -> torch.Size:
        """The leading shape `*b`; empty for one view."""
        return self.world_from_detector.shape[:-2]

    @property
    def device(self) -> torch.device:
        """Where the view's tensors live."""
        return self.world_from_detector.device

    def pixels(self) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
        """Detector coordinates (x along u, y along v) of every pixel centre, mm."""
        (h, w), (dv, du) = self.shape_px, self.pixel_spacing_mm
        like = self.world_from_detector
        y = (torch.arange(h, dtype=like.dtype, device=like.device) - (h - 1) / 2) * dv
        x = (torch.arange(w, dtype=like.dtype, device=like.device) - (w - 1) / 2) * du
        return x[None, :].expand(h, w), y[:, None].expand(h, w)

    def rays(self) -> tuple[Float[Tensor, "*b h w 3"], Float[Tensor, "*b h w 3"]]:
        """Start of each pixel's ray and the vector from there to the pixel centre, world mm.

        Pixel centre = start + vector in every beam, so |vector| is the source-pixel distance.
        """
        x, y = self.pixels()
        zero = torch.zeros_like(x)
        sdd = self.source_to_detector_mm[..., None, None]
        zeros = zero.expand(*self.batch_shape, *zero.shape)
        x, y = x.expand_as(zeros), y.expand_as(zeros)
        depth = sdd.expand_as(zeros)
        if self.beam == "cone":
            start, vector = (zeros, zeros, -depth), (x, y, depth)
        elif self.beam == "slot":
            start, vector = (zeros, y, -depth), (x, zeros, depth)
        else:
            start, vector = (x, y, -depth), (zeros, zeros, depth)
        rotation = self.world_from_detector[..., None, None, :3, :3]
        shift = self.world_from_detector[..., None, None, :3, 3]
        starts = (rotation @ torch.stack(start, dim=-1)[..., None])[..., 0] + shift
        vectors = (rotation @ torch.stack(vector, dim=-1)[..., None])[..., 0]
        return starts, vectors

    def project_points(self, points_mm: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 2"]:
        """Pixel position (v, u) at which the view shows world points; the inverse of `rays`.

        A point at or behind the source has no image: NaN. Points off the detector get positions off its grid.
        """
        p = transform_points(inverse_rigid(self.world_from_detector), points_mm)
        scale = self.magnification(points_mm)
        x = p[..., 0] * (scale if self.beam in ("cone", "slot") else 1.0)
        y = p[..., 1] * (scale if self.beam == "cone" else 1.0)
        (h, w), (dv, du) = self.shape_px, self.pixel_spacing_mm
        return torch.stack([y / dv + (h - 1) / 2, x / du + (w - 1) / 2], dim=-1)

    def magnification(self, points_mm: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n"]:
        """Size on the detector over size at the point, across the beam: source-detector over source-point depth.

        One everywhere in a parallel beam; in a slot it holds for u only, and v is never magnified.
        """
        p = transform_points(inverse_rigid(self.world_from_detector), points_mm)
        if self.beam == "parallel":
            return torch.ones_like(p[..., 2])
        sdd = self.source_to_detector_mm[..., None]
        depth = p[..., 2] + sdd
        return torch.where(depth > 0, sdd / depth, torch.full_like(depth, math.nan))

    def resized(self, shape_px: tuple[int, int]) -> "View":
        """The same field of view on another pixel grid."""
        spacing = tuple(s * n / m for s, n, m in zip(self.pixel_spacing_mm, self.shape_px, shape_px, strict=True))
        return replace(self, shape_px=shape_px, pixel_spacing_mm=(spacing[0], spacing[1]))

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "View":
        """The same view with its tensors elsewhere or in another precision."""
        return replace(
            self,
            world_from_detector=self.world_from_detector.to(device=device, dtype=dtype),
            source_to_detector_mm=self.source_to_detector_mm.to(device=device, dtype=dtype),
        )

    def __getitem__(self, index: int) -> "View":
        """One view of a batch."""
        return replace(
            self,
            world_from_detector=self.world_from_detector[index],
            source_to_detector_mm=self.source_to_detector_mm[index],
        )


def stack_views(views: Sequence[View]) -> View:
    """A batch of views that share detector grid, spacing and beam."""
    if not views:
        raise ValueError("stack_views got no view; wanted at least one")
    first = views[0]
    for v in views[1:]:
        if (v.shape_px, v.pixel_spacing_mm, v.beam) != (first.shape_px, first.pixel_spacing_mm, first.beam):
            raise ValueError(
                f"views differ in detector or beam ({v.shape_px}, {v.pixel_spacing_mm}, {v.beam} beside "
                f"{first.shape_px}, {first.pixel_spacing_mm}, {first.beam}); project them one by one"
            )
    return replace(
        first,
        world_from_detector=torch.stack([v.world_from_detector for v in views]),
        source_to_detector_mm=torch.stack([v.source_to_detector_mm for v in views]),
    )


def view_angle_deg(name: str) -> float:
    """The source azimuth of a named view ("pa", "lateral", ...) or of a number of degrees written as text."""
    key = name.strip().lower().replace(" ", "_").replace("-", "_") if not _is_number(name) else name
    if _is_number(key):
        return float(key)
    if key not in NAMED_VIEWS_DEG:
        raise ValueError(f"view is {name!r}; wanted one of {', '.join(NAMED_VIEWS_DEG)} or an angle in degrees")
    return NAMED_VIEWS_DEG[key]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_rigid(m: Float[Tensor, "*b 4 4"]) -> None:
    if not bool(torch.isfinite(m).all()):
        raise ValueError("world_from_detector holds NaN or infinite numbers; wanted a rigid 4 x 4 matrix")
    rotation = m[..., :3, :3].double()
    error = (rotation @ rotation.mT - torch.eye(3, dtype=torch.float64, device=m.device)).abs().max()
    if float(error) > 1e-3:
        raise ValueError(f"world_from_detector is not rigid (R R^T is off by {float(error):.2g}); wanted a rotation")
    if bool((torch.linalg.det(rotation) < 0).any()):
        raise ValueError("world_from_detector mirrors; wanted a rotation (flip the picture at the display instead)")
    bottom = m.new_tensor([0.0, 0.0, 0.0, 1.0])
    if not torch.equal(m[..., 3, :], bottom.expand_as(m[..., 3, :])):
        raise ValueError("world_from_detector has a bottom row other than 0 0 0 1; wanted a rigid 4 x 4 matrix")
