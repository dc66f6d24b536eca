"""Light on a picture whose depth and normals are known: key, ambient and flash, shadow, occlusion, gloss. Linear RGB."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_camera import Pinhole
from spondyl.sim.rgbd_raster import unit
from spondyl.sim.rgbd_texture import blurred

DIFFUSE = 0.9  # share of the albedo that skin returns as Lambert's law says
WRAP = (0.22, 0.10, 0.06)  # light that skin scatters round its own edge, by colour (estimate)
AROUND, REACHES_MM = 8, (6.0, 14.0, 30.0, 60.0, 110.0)  # directions and distances in which occlusion is looked for
FADES_MM = 160.0  # what lies this far in front hides no ambient light any more
MARCH_MM = tuple(5.0 * 1.22**k for k in range(22))  # steps towards the key light, to 325 mm
EDGE_MM, EDGE_PX = 20.0, 0.9
BODY_MM = 280.0  # what throws a shadow is taken to be this thick, seen from the camera


@dataclass(frozen=True)
class Light:
    """The light in the room. Strengths are what a white surface that faces the light returns.

    Args:
        key, ambient, flash: strength of a window or lamp, of the light from all sides, and of a lamp at the camera.
        key_aside_deg: where the key light stands: 0 behind the camera, 90 to its right.
        key_up_deg: its height above the horizon.
        key_soft: tangent of its half-width, which softens shadows.
        warmth: colour of the key light from bluish (-1) to yellowish (1).
        roughness, specular: GGX roughness and reflectance of skin at normal incidence.
    """

    key: float = field(default=0.75, metadata=between(0.35, 1.0))
    ambient: float = field(default=0.45, metadata=between(0.3, 0.65))
    flash: float = field(default=0.12, metadata=between(0.0, 0.3))
    key_aside_deg: float = field(default=-48.0, metadata=between(-70.0, 70.0))
    key_up_deg: float = field(default=38.0, metadata=between(20.0, 60.0))
    key_soft: float = field(default=0.25, metadata=between(0.1, 0.4))
    warmth: float = field(default=0.15, metadata=between(-0.6, 0.8))
    roughness: float = field(default=0.45, metadata=between(0.38, 0.52))
    specular: float = field(default=0.028, metadata=between(0.02, 0.036))

    def __post_init__(self) -> None:
        check_settings(self, positive=("key_soft", "roughness"))
        if not abs(self.key_aside_deg) < 90 or not abs(self.key_up_deg) < 90:
            raise ValueError(
                f"key light stands at {self.key_aside_deg}, {self.key_up_deg} degrees; wanted it before the back (-90 to 90)"
            )

    def towards_key(self) -> tuple[float, float, float]:
        """Unit vector to the key light in the camera's frame."""
        a, e = math.radians(self.key_aside_deg), math.radians(self.key_up_deg)
        return math.sin(a) * math.cos(e), -math.sin(e), -math.cos(a) * math.cos(e)

    def key_colour(self) -> tuple[float, float, float]:
        """Linear RGB of the key light, green 1."""
        return 1 + 0.12 * self.warmth, 1.0, 1 - 0.22 * self.warmth


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What light falls on, on the picture's grid.

    Args:
        albedo: linear RGB.
        normal: unit vectors in the camera's frame, towards the camera.
        depth_mm: everywhere finite.
        body: pixels on the patient.
        gloss: share of `Light.specular` that the surface shows.
        wrap: share of the scattering of skin: 1 for skin, 0 for a wall.
    """

    albedo: Float[Tensor, "3 h w"]
    normal: Float[Tensor, "3 h w"]
    depth_mm: Float[Tensor, "h w"]
    body: Bool[Tensor, "h w"]
    gloss: Float[Tensor, "h w"]
    wrap: Float[Tensor, "h w"]


def lit(seen: Surfaces, pinhole: Pinhole, light: Light) -> Float[Tensor, "3 h w"]:
    """What each pixel sends to the camera, linear RGB, 1 for white in full light."""
    view = unit(-pinhole.rays())
    normal, depth = seen.normal, seen.depth_mm
    key = depth.new_tensor(light.towards_key())
    small = _halved(depth)
    open_share = _enlarged(openness(small, pinhole, 2), depth.shape)
    on_body = _halved(seen.body.to(depth.dtype))
    # marching along the light is for folds of the body; what lies behind it gets its outline
    shadow = torch.where(on_body > 0.5, sunlit(small, pinhole, 2, light), 1 - cast(small, on_body, pinhole, 2, light))
    shadow = _enlarged(shadow, depth.shape)
    facing = (normal * key[:, None, None]).sum(0)
    facing_camera = (normal * view).sum(0).clamp(min=0)
    flash = light.flash * facing_camera * (float(depth.median()) / depth).square()
    # light from the ceiling is a little stronger than from the floor
    sky = light.ambient * (0.8 - 0.2 * normal[1])
    per_light = light.specular * math.pi * seen.gloss
    shine_key = (
        per_light
        * light.key
        * shadow
        * facing.clamp(min=0)
        * ggx(normal, view, key[:, None, None], light.roughness, light.key_soft)
    )
    shine_flash = per_light * flash * ggx(normal, view, view, light.roughness, 0.1)
    out = torch.empty_like(seen.albedo)
    for c, tint in enumerate(light.key_colour()):
        soft, albedo = WRAP[c] * seen.wrap, seen.albedo[c]
        direct = ((facing + soft) / (1 + soft)).clamp(min=0) * (shadow + 0.35 * soft * (1 - shadow)) * tint
        # light that a bright hollow throws back to itself (Jimenez 2016)
        hollow = open_share / (1 - albedo * (1 - open_share))
        out[c] = DIFFUSE * albedo * (light.key * direct + sky * hollow + flash) + tint * shine_key + shine_flash
    return out


def edges_softened(light: Float[Tensor, "3 h w"], depth_mm: Float[Tensor, "h w"]) -> Float[Tensor, "3 h w"]:
    """The picture with pixels beside a step in depth mixed with their neighbours: a pixel there shows a part of both sides."""
    near = -functional.max_pool2d(-depth_mm[None, None], 3, stride=1, padding=1)
    far = functional.max_pool2d(depth_mm[None, None], 3, stride=1, padding=1)
    share = blurred(((far - near)[0] > EDGE_MM).to(light.dtype), 0.6)
    return torch.lerp(light, blurred(light, EDGE_PX), share.expand_as(light))


def cast(
    depth_mm: Float[Tensor, "h w"], body: Float[Tensor, "h w"], pinhole: Pinhole, coarse: int, light: Light
) -> Float[Tensor, "h w"]:
    """Share of the key light that the patient takes from the room behind: the outline thrown on the wall."""
    if not bool((body > 0.5).any()):
        return torch.zeros_like(depth_mm)
    h, w = depth_mm.shape
    plane = float(depth_mm[body > 0.5].median()) + 60.0
    focal = pinhole.focal_px / coarse
    cv, cu = ((c + 0.5) / coarse - 0.5 for c in pinhole.centre_px)
    lx, ly, lz = light.towards_key()
    step = ((depth_mm - plane) / -lz).clamp(min=0)
    rows = torch.arange(h, device=depth_mm.device, dtype=depth_mm.dtype)[:, None]
    columns = torch.arange(w, device=depth_mm.device, dtype=depth_mm.dtype)
    v = ((rows - cv) * depth_mm + ly * step * focal) / plane + cv
    u = ((columns - cu) * depth_mm + lx * step * focal) / plane + cu
    soft = blurred(body[None], 0.5 * light.key_soft * float(step.median()) * focal / plane)
    place = torch.stack([(2 * u + 1) / w - 1, (2 * v + 1) / h - 1], -1)
    met = functional.grid_sample(soft[None], place[None], align_corners=False, padding_mode="border")[0, 0]
    return met * (step > 0)


def ggx(normal: Tensor, view: Tensor, to_light: Tensor, roughness: float, source: float) -> Float[Tensor, "h w"]:
    """GGX microfacets (Walter 2007) with Schlick's Fresnel term for reflectance 1 at normal incidence; per unit of specular.

    The distribution D over 4, with Kelemen's visibility 1 / (l.h)^2: what a rough surface returns of the light along its normal.
    A lamp of half-width tangent `source` widens the lobe by about a third of it (Karis 2013, sphere lights).
    """
    half = unit(view + to_light)
    a2 = (roughness**2 + source / 3) ** 2
    nh = (normal * half).sum(0).clamp(0, 1)
    lh = (view * half).sum(0).clamp(min=0.1)
    d = a2 / (math.pi * ((nh * nh) * (a2 - 1) + 1).square())
    fresnel = 1 + 34.0 * (1 - lh).pow(5)  # reflectance rises from 0.028 to 1
    return d * fresnel / (4 * lh * lh)


def openness(depth_mm: Float[Tensor, "h w"], pinhole: Pinhole, coarse: int) -> Float[Tensor, "h w"]:
    """Share of the sky that nothing in the picture hides, 0 to 1: horizons in AROUND directions (Bavoil 2008).

    `coarse`: how many pixels of the pinhole one of the picture is.
    """
    middle = float(depth_mm.median())
    per_mm = pinhole.focal_px / middle / coarse
    hidden = torch.zeros_like(depth_mm)
    for k in range(AROUND):
        angle = 2 * math.pi * (k + 0.5) / AROUND
        horizon = torch.zeros_like(depth_mm)
        for reach in REACHES_MM:
            dv, du = round(math.sin(angle) * reach * per_mm), round(math.cos(angle) * reach * per_mm)
            if (dv, du) == (0, 0):
                continue
            nearer = depth_mm - _shifted(depth_mm, dv, du)
            across = math.hypot(dv, du) / per_mm
            fading = (1 - nearer / FADES_MM).clamp(0, 1)
            horizon = torch.maximum(horizon, nearer.clamp(min=0) / (nearer.square() + across**2).sqrt() * fading)
        hidden += horizon
    return 1 - hidden / AROUND


def sunlit(depth_mm: Float[Tensor, "h w"], pinhole: Pinhole, coarse: int, light: Light) -> Float[Tensor, "h w"]:
    """Share of the key light that reaches each pixel: steps towards it, and what the picture shows in their way."""
    h, w = depth_mm.shape
    focal = pinhole.focal_px / coarse
    cv, cu = ((c + 0.5) / coarse - 0.5 for c in pinhole.centre_px)
    y = (torch.arange(h, device=depth_mm.device, dtype=depth_mm.dtype) - cv)[:, None] / focal * depth_mm
    x = (torch.arange(w, device=depth_mm.device, dtype=depth_mm.dtype) - cu) / focal * depth_mm
    lx, ly, lz = light.towards_key()
    open_share = torch.ones_like(depth_mm)
    for step in MARCH_MM:
        z = (depth_mm + lz * step).clamp(min=200.0)
        v, u = (y + ly * step) / z * focal + cv, (x + lx * step) / z * focal + cu
        place = torch.stack([(2 * u + 1) / w - 1, (2 * v + 1) / h - 1], -1)
        met = functional.grid_sample(depth_mm[None, None], place[None], align_corners=False, padding_mode="border")[
            0, 0
        ]
        inside = (u > -0.5) & (u < w - 0.5) & (v > -0.5) & (v < h - 0.5)
        behind = z - met
        width = 2.0 + step * light.key_soft
        blocked = ((behind - 1.0 - 0.02 * step) / width).clamp(0, 1) * ((BODY_MM - behind) / 60.0).clamp(0, 1) * inside
        open_share = torch.minimum(open_share, 1 - blocked)
    return open_share


def _halved(depth_mm: Tensor) -> Tensor:
    h, w = depth_mm.shape
    even = functional.pad(depth_mm[None, None], (0, w % 2, 0, h % 2), mode="replicate")
    return functional.avg_pool2d(even, 2)[0, 0]


def _enlarged(picture: Tensor, shape: torch.Size) -> Tensor:
    big = functional.interpolate(picture[None, None], scale_factor=2, mode="bilinear", align_corners=False)[0, 0]
    return big[: shape[0], : shape[1]]


def _shifted(picture: Tensor, dv: int, du: int) -> Tensor:
    """The picture's values (dv, du) pixels further on; the border repeats."""
    h, w = picture.shape
    wide = functional.pad(picture[None, None], (max(-du, 0), max(du, 0), max(-dv, 0), max(dv, 0)), mode="replicate")[
        0, 0
    ]
    return wide[max(dv, 0) : max(dv, 0) + h, max(du, 0) : max(du, 0) + w]
