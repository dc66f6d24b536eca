"""Light and colour against closed forms: Lambert, falloff, shadow, occlusion, gloss, sRGB, white balance, noise, textures."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spondyl.sim.rgbd_camera import Pinhole
from spondyl.sim.rgbd_colour import ColourCamera, photographed, srgb
from spondyl.sim.rgbd_light import DIFFUSE, Light, Surfaces, cast, edges_softened, ggx, lit, openness, sunlit
from spondyl.sim.rgbd_texture import blurred, texture

SHAPE = (120, 160)
LENS = Pinhole(400.0, (59.5, 79.5), SHAPE, torch.eye(4))
DULL = Light(key=0.0, ambient=0.0, flash=0.0, specular=0.0)


def wall(depth_mm: Tensor, *, normal: tuple[float, float, float] = (0.0, 0.0, -1.0)) -> Surfaces:
    """Everything is body, albedo one half, without the scattering of skin."""
    flat = torch.zeros(SHAPE)
    towards = torch.tensor(normal)[:, None, None].expand(3, *SHAPE)
    return Surfaces(torch.full((3, *SHAPE), 0.5), towards, depth_mm, flat == 0, flat + 1, flat)


def plane(depth_mm: float = 1400.0) -> Tensor:
    return torch.full(SHAPE, depth_mm)


@pytest.mark.parametrize(("aside", "up"), [(0.0, 0.0), (40.0, 0.0), (-40.0, 30.0)])
def test_a_matt_plane_follows_the_cosine_of_the_key_light(aside: float, up: float) -> None:
    light = replace(DULL, key=0.8, key_aside_deg=aside, key_up_deg=up, warmth=0.0)
    out = lit(wall(plane()), LENS, light)
    cosine = math.cos(math.radians(aside)) * math.cos(math.radians(up))
    assert float((out - DIFFUSE * 0.5 * 0.8 * cosine).abs().max()) < 1e-4


def test_the_key_light_stands_where_it_is_said_to_stand() -> None:
    tilted = (0.5, -0.5, -math.sqrt(0.5))  # faces right and up in the picture
    right, left = (
        lit(wall(plane(), normal=tilted), LENS, replace(DULL, key=0.8, key_aside_deg=a, key_up_deg=40.0))[:, 60, 80]
        for a in (40.0, -40.0)
    )
    assert bool((right > 1.5 * left).all())


def test_a_warm_key_light_is_redder_than_blue() -> None:
    out = lit(wall(plane()), LENS, replace(DULL, key=0.8, warmth=0.5))[:, 60, 80]
    assert float(out[0] / out[2]) == pytest.approx(1.06 / 0.89, rel=1e-3)


def test_ambient_light_alone_shows_a_plane_evenly() -> None:
    out = lit(wall(plane()), LENS, replace(DULL, ambient=0.5))
    assert float((out - DIFFUSE * 0.5 * 0.5 * 0.8).abs().max()) < 1e-4


def test_the_flash_fades_with_the_square_of_the_distance() -> None:
    depth = plane()
    depth[:, 100:] = 2800.0
    out = lit(wall(depth), LENS, replace(DULL, flash=0.4))[0]
    near, far = float(out[60, 70]), float(out[60, 140])
    tilt = math.cos(math.atan(60.5 / 400)) / math.cos(math.atan(9.5 / 400))
    assert far / near == pytest.approx(tilt / 4, rel=0.01)


def test_a_plane_is_open_to_the_sky_and_a_groove_is_not() -> None:
    assert float(openness(plane(), LENS, 1).min()) == 1
    groove = plane()
    groove[:, 75:85] = 1440.0
    share = openness(groove, LENS, 1)
    assert float(share[60, 80]) < 0.6
    assert float(share[60, 20]) == 1


def test_a_ridge_throws_its_shadow_away_from_the_light() -> None:
    ridge = plane()
    ridge[:, 60:84] = 1340.0
    light = replace(Light(), key_aside_deg=-50.0, key_up_deg=0.0, key_soft=0.05)
    share = sunlit(ridge, LENS, 1, light)[20:-20]  # what lies off the picture throws no shadow
    reach_px = 60 * math.tan(math.radians(50)) * 400 / 1400
    assert bool((share[:, 86 : 84 + int(reach_px) - 5] < 0.2).all())
    assert bool((share[:, : 60 - 4] > 0.99).all())
    assert bool((share[:, 84 + int(reach_px) + 6 :] > 0.99).all())


def test_the_patient_throws_an_outline_on_the_wall() -> None:
    depth, body = plane(2000.0), torch.zeros(SHAPE)
    depth[40:80, 60:80], body[40:80, 60:80] = 1400.0, 1.0
    light = replace(Light(), key_aside_deg=-20.0, key_up_deg=0.0, key_soft=0.05)
    shadow = cast(depth, body, LENS, 1, light)
    rows, columns = (shadow > 0.5).nonzero().unbind(1)
    # a point of the wall is dark where the line to the lamp meets the body's plane (60 mm into the body) in its outline
    shift = (2000 - 1460) * math.tan(math.radians(20)) * 400
    middle = ((69.5 - 79.5) * 1460 + shift) / 2000 + 79.5
    assert float(columns.float().mean()) == pytest.approx(middle, abs=1.5)
    assert float(rows.float().mean()) == pytest.approx(59.5, abs=1.0)
    assert float(cast(plane(), torch.zeros(SHAPE), LENS, 1, light).max()) == 0


def test_only_pixels_beside_a_step_in_depth_are_softened() -> None:
    depth = plane()
    depth[:, 80:] = 2300.0
    light = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(6))
    out = edges_softened(light, depth)
    assert torch.equal(out[:, :, :76], light[:, :, :76])
    assert torch.equal(out[:, :, 84:], light[:, :, 84:])
    assert float(out[:, :, 79:81].std()) < 0.6 * float(light[:, :, 79:81].std())


def test_gloss_is_strongest_where_the_light_is_mirrored() -> None:
    view = torch.tensor([0.0, 0.0, -1.0])[:, None, None]
    towards = torch.tensor([math.sin(0.6), 0.0, -math.cos(0.6)])[:, None, None]
    angles = torch.linspace(-0.5, 0.9, 141)
    normals = torch.stack([angles.sin(), torch.zeros(141), -angles.cos()])[:, None]
    lobe = ggx(normals, view.expand(3, 1, 141), towards, 0.45, 0.0)[0]
    assert float(angles[lobe.argmax()]) == pytest.approx(0.3, abs=0.011)
    # D at its peak is 1 / (pi a^2), a the square of the roughness; Schlick's term is near 1 there
    assert float(lobe.max()) == pytest.approx(1 / (math.pi * 0.45**4) / (4 * math.cos(0.3) ** 2), rel=0.02)
    assert float(ggx(normals, view.expand(3, 1, 141), towards, 0.45, 0.4)[0].max()) < 0.6 * float(lobe.max())


@pytest.mark.parametrize(
    ("linear", "coded"), [(0.0, 0.0), (0.002, 0.02584), (0.2140, 0.5), (0.5, 0.7354), (0.8, 0.9063)]
)
def test_srgb_is_the_standards_curve(linear: float, coded: float) -> None:
    assert float(srgb(torch.full((3, 1, 1), linear)).max()) == pytest.approx(coded, abs=3e-4)


def test_highlights_run_into_white_without_leaving_the_range() -> None:
    out = srgb(torch.linspace(0, 30, 3000).expand(3, 1, -1))
    assert bool((out[..., 1:] >= out[..., :-1]).all())
    assert float(out.max()) <= 1


def even(level: float, camera: ColourCamera, seed: int = 0) -> Tensor:
    return photographed(torch.full((3, *SHAPE), level), camera, generator=torch.Generator().manual_seed(seed))


PLAIN = ColourCamera(noise=0.0, shading=0.0, metering=0.0)


def test_colour_comes_in_256_steps_and_keeps_its_level() -> None:
    out = even(0.214, PLAIN)
    assert float((out * 255 - (out * 255).round()).abs().max()) < 1e-4
    assert float(out.mean()) == pytest.approx(0.5, abs=1 / 255)


def test_full_metering_shows_dark_and_bright_scenes_alike() -> None:
    dark, bright = (float(even(level, replace(PLAIN, metering=1.0)).mean()) for level in (0.05, 0.5))
    assert dark == pytest.approx(bright, abs=1 / 255)
    assert float(even(0.05, PLAIN).mean()) < 0.5 * float(even(0.5, PLAIN).mean())


def test_white_balance_and_exposure_change_what_they_say() -> None:
    out = even(0.1, replace(PLAIN, red_gain=1.2, exposure_ev=1.0))[:, 0, 0]
    assert float(out[0]) == pytest.approx(float(srgb(torch.full((3, 1, 1), 0.24)).max()), abs=1 / 255)
    assert float(out[1]) == pytest.approx(float(srgb(torch.full((3, 1, 1), 0.2)).max()), abs=1 / 255)


def test_colour_noise_is_about_one_per_cent_at_half_scale() -> None:
    out = even(0.5, replace(PLAIN, noise=0.01))
    slope = 1.055 / 2.4 * 0.5 ** (1 / 2.4 - 1)
    assert 0.5 * 0.01 * slope < float(out.std()) < 1.1 * 0.01 * slope
    assert not torch.equal(even(0.5, ColourCamera(), 1), even(0.5, ColourCamera(), 2))


@pytest.mark.parametrize("sigma_px", [0.65, 2.0, 9.0, 30.0])
def test_a_blur_has_the_asked_width_and_keeps_the_sum(sigma_px: float) -> None:
    n = 257
    point = torch.zeros(1, n, n)
    point[0, n // 2, n // 2] = 1.0
    out = blurred(point, sigma_px)[0]
    at = torch.arange(n) - (out.sum(0) * torch.arange(n)).sum() / out.sum()
    assert float(out.sum()) == pytest.approx(1.0, abs=0.02)
    assert float(((out.sum(0) * at**2).sum() / out.sum()).sqrt()) == pytest.approx(sigma_px, rel=0.08)


def test_a_texture_belongs_to_the_place_and_not_to_the_picture() -> None:
    points = torch.rand(5000, 3, generator=torch.Generator().manual_seed(4)) * 400 - 200
    first = texture(points, 20.0, generator=torch.Generator().manual_seed(7))
    again = texture(points.flip(0), 20.0, generator=torch.Generator().manual_seed(7)).flip(0)
    assert torch.equal(first, again)
    assert float(first.std()) == pytest.approx(1.0, abs=0.2)
    near = texture(points + 0.2, 20.0, generator=torch.Generator().manual_seed(7))
    assert float((near - first).abs().max()) < 0.15
    far = texture(points + 40.0, 20.0, generator=torch.Generator().manual_seed(7))
    assert abs(float((far * first).mean())) < 0.15


@pytest.mark.parametrize(
    ("wrong", "says"), [({"key_soft": 0.0}, "key_soft is 0"), ({"key_aside_deg": 120.0}, "key light stands at 120")]
)
def test_a_light_without_sense_is_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(Light(), **wrong)
