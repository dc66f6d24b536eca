"""Where the depth camera stands behind a patient, and the pinhole that it is: world points to pixels and back."""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import inverse_rigid, rigid, transform_points
from spondyl.pairs import Skin, Subject
from spondyl.sim.redraw import between, check_settings
from spondyl.spine import level_index

AIMED_LEVELS = ("T8", "T9", "T7", "T10", "T6")  # the first of them that the spine shows is what the lens points at


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A pinhole without distortion. Camera frame: x right, y down, z forward, mm; pixel positions are (v, u).

    Args:
        focal_px: focal length, the same along rows and columns.
        centre_px: (v, u) of the optical axis; it may lie off the middle of a cropped picture.
        shape_px: (v, u), rows and columns.
        world_from_camera: rigid placement.
    """

    focal_px: float
    centre_px: tuple[float, float]
    shape_px: tuple[int, int]
    world_from_camera: Float[Tensor, "4 4"]

    def intrinsics(self) -> Float[Tensor, "3 3"]:
        """The matrix that takes (x / z, y / z, 1) to (u, v, 1)."""
        cv, cu = self.centre_px
        return self.world_from_camera.new_tensor([[self.focal_px, 0, cu], [0, self.focal_px, cv], [0, 0, 1]])

    def camera_points(self, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """World points in the camera's frame."""
        return transform_points(inverse_rigid(self.world_from_camera), points_mm)

    def project_points(self, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """Pixel position (v, u) of world points; NaN for a point that does not lie in front of the camera."""
        x, y, z = self.camera_points(points_mm).unbind(-1)
        scale = torch.where(z > 0, self.focal_px / z, torch.full_like(z, math.nan))
        return torch.stack([y * scale + self.centre_px[0], x * scale + self.centre_px[1]], -1)

    def rays(self) -> Float[Tensor, "3 h w"]:
        """The direction of each pixel's ray in the camera's frame, scaled to z = 1: times the depth it is the point seen."""
        h, w = self.shape_px
        like = self.world_from_camera
        y = (torch.arange(h, dtype=like.dtype, device=like.device) - self.centre_px[0]) / self.focal_px
        x = (torch.arange(w, dtype=like.dtype, device=like.device) - self.centre_px[1]) / self.focal_px
        return torch.stack([x.expand(h, w), y[:, None].expand(h, w), torch.ones_like(x).expand(h, w)])

    def world_points(self, depth_mm: Float[Tensor, "h w"]) -> Float[Tensor, "3 h w"]:
        """The world points that a depth image shows."""
        m = self.world_from_camera
        seen = (self.rays() * depth_mm).reshape(3, -1)
        return (m[:3, :3] @ seen + m[:3, 3:]).reshape(3, *self.shape_px)


@dataclass(frozen=True)
class Rig:
    """How the camera is set up behind the patient.

    The defaults show about 0.65 by 0.87 m at the back: 1.7 mm a pixel. That is depth registered to a crop of the colour picture
    (a 1080-row colour camera has a focal length of about 900 px); the depth camera's own lens, about 500 px, gives 2.8 mm.

    Args:
        distance_mm: from the lens to the skin behind T8.
        lens_above_t8_mm: height of the lens above T8 (or above what the scan shows nearest to it).
        aside_mm: how far the lens stands to the patient's right of T8.
        turn_deg: how far the camera stands round to the patient's right, or the patient is turned to the left.
        pitch_deg, roll_deg: optical axis below the horizon; camera turned clockwise about it.
        focal_px: focal length.
        shape_px: (v, u), rows and columns of colour and depth.
        off_middle_px: how far below the picture's middle row the back's middle (between C7 and S1) is shown. The picture is
            a crop about it: the optical axis, at the height of the lens, need not be its middle.
    """

    distance_mm: float = field(default=1400.0, metadata=between(1200.0, 1600.0))
    lens_above_t8_mm: float = field(default=0.0, metadata=between(-80.0, 80.0))
    aside_mm: float = field(default=0.0, metadata=between(-30.0, 30.0))
    turn_deg: float = field(default=0.0, metadata=between(-4.0, 4.0))
    pitch_deg: float = field(default=0.0, metadata=between(-3.0, 3.0))
    roll_deg: float = field(default=0.0, metadata=between(-2.0, 2.0))
    focal_px: float = field(default=823.0, metadata=between(760.0, 880.0))
    shape_px: tuple[int, int] = (512, 384)
    off_middle_px: float = field(default=0.0, metadata=between(-25.0, 25.0))

    def __post_init__(self) -> None:
        check_settings(self, positive=("distance_mm", "focal_px"))
        if self.distance_mm < 400:
            raise ValueError(f"distance_mm is {self.distance_mm}; wanted 400 mm or more, the camera's nearest range")
        if min(self.shape_px) < 8:
            raise ValueError(f"shape_px is {self.shape_px}; wanted at least eight rows and columns")
        for name, angle in (("turn_deg", self.turn_deg), ("pitch_deg", self.pitch_deg), ("roll_deg", self.roll_deg)):
            if not abs(angle) <= 60:
                raise ValueError(f"{name} is {angle}; wanted -60 to 60 degrees, behind the patient")

    def behind(self, subject: Subject) -> Pinhole:
        """The camera for this subject.

        Raises:
            ValueError: for a subject without skin.
        """
        target = aimed_point(subject).double().cpu()
        a, p, r = (math.radians(d) for d in (self.turn_deg, self.pitch_deg, self.roll_deg))
        away = torch.tensor([-math.sin(a), math.cos(a), 0.0], dtype=torch.float64)
        right = torch.tensor([-math.cos(a), -math.sin(a), 0.0], dtype=torch.float64)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        forward = -away * math.cos(p) - up * math.sin(p)
        level_down = torch.linalg.cross(forward, right)
        x = right * math.cos(r) + level_down * math.sin(r)
        lens = target + away * self.distance_mm + right * self.aside_mm + up * self.lens_above_t8_mm
        place = rigid(torch.stack([x, torch.linalg.cross(forward, x), forward], -1), lens)
        h, w = self.shape_px
        device = shown_skin(subject).vertices_mm.device
        wide = Pinhole(self.focal_px, (0.0, (w - 1) / 2), self.shape_px, place.to(torch.float32))
        middle = torch.stack([target[0], target[1], torch.tensor(middle_height_mm(subject)).double()])
        row = float(wide.project_points(middle[None].float())[0, 0])
        centre = (round((h - 1) / 2 + self.off_middle_px - row), (w - 1) / 2)
        return replace(wide, centre_px=centre, world_from_camera=wide.world_from_camera.to(device))


def aimed_point(subject: Subject) -> Float[Tensor, "3"]:
    """The skin straight behind T8, or behind the level that stands in for it; world mm."""
    v, spine = shown_skin(subject).vertices_mm.to(torch.float32), subject.spine
    seen = [level for level in AIMED_LEVELS if level in spine.levels]
    if seen:
        aim = spine.centres_mm[spine.index(seen[0])].to(v)
    elif spine.levels:
        aim = spine.centres_mm.to(v)[len(spine.levels) // 2]
    else:
        aim = (v.amin(0) + v.amax(0)) / 2
    # of the skin behind the spine's centres, the vertex least off the line that runs straight back
    off = (v[:, 0] - aim[0]).square() + (v[:, 2] - aim[2]).square()
    off = torch.where(v[:, 1] >= aim[1], off, torch.inf)
    nearest = int(off.argmin())
    return torch.stack([aim[0], v[nearest, 1], aim[2]])


def middle_height_mm(subject: Subject) -> float:
    """Height of the middle of the back: halfway between the highest level from C7 down and the lowest, or of the mesh."""
    spine = subject.spine
    trunk = [i for i, level in enumerate(spine.levels) if level_index(level) >= level_index("C7")]
    z = spine.centres_mm[trunk, 2] if trunk else shown_skin(subject).vertices_mm[:, 2]
    return float(z.max() + z.min()) / 2


def shown_skin(subject: Subject) -> Skin:
    """The subject's skin. Raises ValueError where there is none."""
    if subject.skin is None or not len(subject.skin.faces):
        raise ValueError(
            "the subject has no skin to photograph; make it with skin_of(patient), or take a scan that shows the whole body"
        )
    return subject.skin
