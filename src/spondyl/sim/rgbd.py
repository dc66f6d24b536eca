"""The RGB-D sensor: a colour and depth photograph of the unclothed back, from behind, with a time-of-flight camera.

Depth and colour share one pixel grid. The surface is the subject's skin mesh; head, forearms, shorts and legs are stand-ins (see
`rgbd_body`), and so is the room. What the sensor leaves out: hands, straps and scars, lens distortion, sway and motion blur,
interreflection other than in hollows.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.images import BackImage
from spondyl.pairs import Subject
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.redraw import redraw
from spondyl.sim.rgbd_body import CLOTH, HAIR, SKIN, Figure, Mesh, Outfit, figure_of, height_mm
from spondyl.sim.rgbd_camera import Pinhole, Rig, aimed_point, shown_skin
from spondyl.sim.rgbd_colour import ColourCamera, photographed
from spondyl.sim.rgbd_depth import DepthCamera, measured
from spondyl.sim.rgbd_light import Light, Surfaces, edges_softened, lit
from spondyl.sim.rgbd_raster import rasterise_faces, unit
from spondyl.sim.rgbd_room import Room, backdrop
from spondyl.sim.rgbd_skin import NIR_CLOTH, NIR_HAIR, Complexion, body_albedo
from spondyl.sim.rgbd_texture import texture

ROOM = -1
BLEND_MM = 26.0  # fillet between arms and trunk
NIR_ROOM = 0.5
GLOSS = {SKIN: 1.0, CLOTH: 0.25, HAIR: 1.2, ROOM: 0.0}


@dataclass(frozen=True, eq=False)
class Scene:
    """What the lens sees before any error, on the picture's grid.

    Args:
        pinhole: the camera.
        depth_mm: distance from the camera plane; infinite beside the body.
        normal: unit vectors in the camera's frame, towards the camera.
        kind: SKIN, CLOTH, HAIR or ROOM.
        above_waist_mm: height over the edge of the shorts.
    """

    pinhole: Pinhole
    depth_mm: Float[Tensor, "h w"]
    normal: Float[Tensor, "3 h w"]
    kind: Integer[Tensor, "h w"]
    above_waist_mm: Float[Tensor, "h w"]


@dataclass(frozen=True)
class RgbdSensor:
    """A colour and depth camera behind a standing patient; the defaults follow an Azure Kinect at 1.4 m.

    Called with a subject it gives one picture. The same settings and the same state of the generator give the same picture, with
    any number of threads.

    Args:
        rig: where the camera stands, its lens and its grid.
        complexion: the patient's skin; see `for_skin_type`.
        outfit, room, light: shorts and hair; wall and floor; lamps.
        depth, colour: the errors of the two cameras.
    """

    rig: Rig = field(default_factory=Rig)
    complexion: Complexion = field(default_factory=Complexion)
    outfit: Outfit = field(default_factory=Outfit)
    room: Room = field(default_factory=Room)
    light: Light = field(default_factory=Light)
    depth: DepthCamera = field(default_factory=DepthCamera)
    colour: ColourCamera = field(default_factory=ColourCamera)

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> BackImage:
        """The photograph: sRGB colour in [0, 1], depth in mm with 0 for holes.

        Raises:
            ValueError: for a subject without skin.
        """
        with one_thread():
            scene = self.scene(subject, generator=generator)
            behind = backdrop(self.room, scene.pinhole, aimed_point(subject), generator=generator)
            body = scene.kind != ROOM
            depth = torch.where(body, scene.depth_mm, behind.depth_mm)
            normal = torch.where(body, scene.normal, behind.normal)
            albedo = behind.albedo.clone()
            albedo[:, body] = self._albedo(scene, subject, generator=generator)
            gloss, infrared = (self._per_kind(scene.kind, table) for table in (GLOSS, self._infrared()))
            seen = Surfaces(albedo, normal, depth, body, gloss, (scene.kind == SKIN).to(depth.dtype))
            light = edges_softened(lit(seen, scene.pinhole, self.light), depth)
            towards = unit(-scene.pinhole.rays())
            signal = infrared * (normal * towards).sum(0).clamp(min=0)
            measure = measured(depth, signal, body, self.rig.focal_px, self.depth, generator=generator)
            rgb = photographed(light, self.colour, generator=generator)
        return BackImage(rgb, measure, scene.pinhole.intrinsics(), scene.pinhole.world_from_camera)

    def scene(self, subject: Subject, *, generator: torch.Generator) -> Scene:
        """The body as the lens sees it: shape and kind of surface, clothes on, no error, no room.

        Raises:
            ValueError: for a subject without skin.
        """
        pinhole = self.rig.behind(subject)
        with one_thread():
            figure = figure_of(shown_skin(subject), self.outfit, subject.spine)
            seat = height_mm(subject.spine, "S1")
            waist = figure.cloth_mm if seat is None else seat - self.outfit.waist_below_s1_mm
            depth, normal, kind = _merged(figure, pinhole)
            bare = Scene(pinhole, depth, normal, kind, depth)
            return self._dressed(bare, figure.hairline_mm, max(waist, figure.cloth_mm), generator=generator)

    def skin_depth_mm(self, subject: Subject) -> Float[Tensor, "h w"]:
        """Exact depth of the subject's own skin mesh, without stand-ins, clothes or error; infinite beside it.

        Raises:
            ValueError: for a subject without skin.
        """
        pinhole, skin = self.rig.behind(subject), shown_skin(subject)
        points = pinhole.camera_points(skin.vertices_mm.to(torch.float32))
        with one_thread():
            return rasterise_faces(points, skin.faces.to(torch.int64), pinhole).depth_mm

    def randomised(self, *, generator: torch.Generator) -> "RgbdSensor":
        """Another place, patient's skin and camera: every part drawn anew within the ranges of its fields; the grid stays."""
        return RgbdSensor(
            redraw(self.rig, generator=generator),
            redraw(self.complexion, generator=generator),
            redraw(self.outfit, generator=generator),
            redraw(self.room, generator=generator),
            redraw(self.light, generator=generator),
            redraw(self.depth, generator=generator),
            redraw(self.colour, generator=generator),
        )

    def for_skin_type(self, skin_type: float) -> "RgbdSensor":
        """The same sensor for a patient whose Fitzpatrick type, 1 to 6, is known."""
        return replace(self, complexion=replace(self.complexion, skin_type=float(skin_type)))

    def _dressed(self, bare: Scene, hairline_mm: float, waist_mm: float, *, generator: torch.Generator) -> Scene:
        """The scene with shorts, which stand off the skin and have folds, and a ragged hairline."""
        body = bare.kind != ROOM
        points = bare.pinhole.world_points(torch.where(body, bare.depth_mm, 0.0))[:, body].T
        kind = bare.kind[body]
        sag = 2.5 * texture(points * points.new_tensor([1.0, 0.3, 0.0]), 160.0, generator=generator)
        above = points[:, 2] - waist_mm - sag
        hair = (kind == HAIR).nonzero()[:, 0]
        wisps = texture(points[hair], (2.5, 2.5, 9.0), generator=generator)
        kind[hair[points[hair, 2] < hairline_mm + 5.0 * wisps]] = SKIN
        kind[(kind == SKIN) & (above < 0)] = CLOTH
        cloth = (kind == CLOTH).nonzero()[:, 0]
        low = points[cloth]
        folds = texture(low, (26.0, 26.0, 110.0), generator=generator) + 0.6 * texture(low, 34.0, generator=generator)
        off = torch.zeros(body.shape, device=body.device)
        thick = torch.zeros_like(above)
        thick[cloth] = self.outfit.cloth_mm + self.outfit.folds_mm * folds * (-above[cloth] / 60.0).clamp(0.0, 1.0)
        off[body] = thick
        normal = _bumped(bare.normal, off, bare.depth_mm, bare.pinhole.focal_px, body)
        whole, height = bare.kind.clone(), torch.zeros_like(off)
        whole[body], height[body] = kind, above
        return replace(bare, depth_mm=bare.depth_mm - off, normal=normal, kind=whole, above_waist_mm=height)

    def _albedo(self, scene: Scene, subject: Subject, *, generator: torch.Generator) -> Float[Tensor, "3 n"]:
        body = scene.kind != ROOM
        points = scene.pinhole.world_points(torch.where(body, scene.depth_mm, 0.0))[:, body].T
        return body_albedo(
            points, scene.kind[body], scene.above_waist_mm[body], self.complexion, self.outfit, subject.spine, shown_skin(subject),
            generator=generator,
        )  # fmt: skip

    def _infrared(self) -> dict[int, float]:
        return {SKIN: self.complexion.near_infrared(), CLOTH: NIR_CLOTH, HAIR: NIR_HAIR, ROOM: NIR_ROOM}

    def _per_kind(self, kind: Integer[Tensor, "h w"], table: dict[int, float]) -> Float[Tensor, "h w"]:
        """One number for each kind of surface."""
        out = torch.zeros(kind.shape, device=kind.device)
        for k, value in table.items():
            out = torch.where(kind == k, value, out)
        return out


def _merged(figure: Figure, pinhole: Pinhole) -> tuple[Tensor, Tensor, Tensor]:
    """Depth, normals and kind of trunk and limbs, with a fillet where they meet."""
    depth, normal, kind = _rendered(figure.trunk, pinhole)
    if figure.limbs is None:
        return depth, normal, kind
    limb_depth, limb_normal, limb_kind = _rendered(figure.limbs, pinhole)
    apart = torch.where(torch.isfinite(depth) & torch.isfinite(limb_depth), depth - limb_depth, torch.inf)
    close = (BLEND_MM - apart.abs()).clamp(min=0)
    share = torch.where(close > 0, (0.5 + apart / (2 * BLEND_MM)).clamp(0, 1), (limb_depth < depth).to(depth.dtype))
    mixed = unit(normal * (1 - share) + limb_normal * share)
    nearest = torch.minimum(depth, limb_depth) - close.square() / (4 * BLEND_MM)
    return nearest, mixed, torch.where(share > 0.5, limb_kind, kind)


def _rendered(mesh: Mesh, pinhole: Pinhole) -> tuple[Tensor, Tensor, Tensor]:
    hits = rasterise_faces(pinhole.camera_points(mesh.vertices_mm), mesh.faces, pinhole)
    turned = mesh.normals @ pinhole.world_from_camera[:3, :3]
    normal = unit(hits.interpolate(turned, mesh.faces))
    kind = torch.where(hits.seen, mesh.kind[hits.face.clamp(min=0)], ROOM)
    return hits.depth_mm, normal, kind


def _bumped(normal: Tensor, off_mm: Tensor, depth_mm: Tensor, focal_px: float, body: Tensor) -> Tensor:
    """Normals of a surface that stands `off_mm` nearer to the camera."""
    per_px = torch.where(body, depth_mm, 1e6) / focal_px
    slope = torch.zeros_like(normal)
    inner = off_mm[1:-1, 1:-1]
    flat = torch.zeros_like(inner)
    both = body[1:-1, :-2] & body[1:-1, 2:]
    slope[0, 1:-1, 1:-1] = torch.where(both, (off_mm[1:-1, 2:] - off_mm[1:-1, :-2]) / 2, flat)
    both = body[:-2, 1:-1] & body[2:, 1:-1]
    slope[1, 1:-1, 1:-1] = torch.where(both, (off_mm[2:, 1:-1] - off_mm[:-2, 1:-1]) / 2, flat)
    return unit(normal - (slope / per_px).clamp(-1.5, 1.5))
