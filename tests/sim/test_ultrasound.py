"""The ultrasound sensor: speckle, shadows, angles, gain and contact on a back of blocks."""

import math
from dataclasses import fields, replace

import pytest
import torch
from block_back import SKIN_MM, add_bone, block_back
from torch import Tensor

from spondyl.images import Volume
from spondyl.pairs import Subject
from spondyl.sim.echo import Beam, Recording
from spondyl.sim.probe import Probe
from spondyl.sim.ultrasound import DEPTH_OFFSETS_MM, UltrasoundSensor
from spondyl.sim.vpi import Slab, equalise

STILL = Probe(breathing_mm=0.0, tracking_mm=0.0, gain_db=0.0, follow_share=0.0)
EVEN = Beam(texture_db=0.0, tgc_residual_db_cm=0.0, penetration_mm=300.0, lateral_spread=0.0)
SMALL = UltrasoundSensor(field_mm=(120.0, 120.0), probe=STILL)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def back() -> Subject:
    return block_back()


@pytest.fixture(scope="module")
def even(back: Subject) -> Recording:
    return replace(SMALL, beam=EVEN).record(back, generator=seeded())[0]


def muscle(recording: Recording, index: int) -> Tensor:
    """Amplitudes of one slice 20 mm and more beside the spine, away from every edge."""
    whole = recording.envelope(index)
    return torch.cat([whole[8:-8, 12:60], whole[8:-8, -60:-12]], dim=1)


def test_muscle_speckle_is_rayleigh_distributed(even: Recording) -> None:
    a = torch.stack([muscle(even, i) for i in range(-20, 20, 2)])
    assert float(a.mean() / a.std()) == pytest.approx(1.91, abs=0.04)
    assert float((20 * a.log10()).std()) == pytest.approx(5.57, abs=0.15)
    assert float(a.square().mean().sqrt()) == pytest.approx(1.0, abs=0.05)


def test_speckle_is_as_wide_as_the_beam_and_as_tall_as_its_slice(even: Recording) -> None:
    intensity = torch.stack([muscle(even, i)[:, :48].square() for i in range(-20, 20, 2)])
    intensity = intensity - intensity.mean()

    def correlation(shift_px: int, axis: int) -> float:
        n = intensity.shape[axis] - shift_px
        a, b = intensity.narrow(axis, 0, n), intensity.narrow(axis, shift_px, n)
        return float((a * b).mean() / intensity.square().mean())

    # a Gaussian point spread of this FWHM: intensity correlates as exp(-4 ln2 (shift / FWHM)^2)
    for shift_px, axis, shift_mm, fwhm_mm in ((1, 1, 1.0, 3.0), (2, 1, 2.0, 3.0), (1, 2, 0.5, 0.8)):
        expected = math.exp(-4 * math.log(2) * (shift_mm / fwhm_mm) ** 2)
        assert correlation(shift_px, axis) == pytest.approx(expected, abs=0.06)
    assert abs(correlation(8, 1)) < 0.05


def test_depths_one_step_apart_hold_other_scatterers(even: Recording) -> None:
    a, b = muscle(even, 4), muscle(even, 5)
    assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 0.05


def test_behind_a_lamina_it_is_at_least_25_db_darker_than_muscle(back: Subject) -> None:
    recording = SMALL.record(back, generator=seeded())[0]
    deep = torch.stack([recording.envelope(i) for i in range(14, 24)])
    behind = deep[:, 14:26, 78:88]  # below the lamina of T8, 8 to 13 mm beside the midline
    surface = recording.sweep.surface_mm[14:26, 78:88]
    assert bool(torch.isfinite(surface).all())
    beside = torch.stack([muscle(recording, i) for i in range(14, 24)])
    assert 20 * math.log10(float(behind.square().mean().sqrt() / beside.square().mean().sqrt())) < -25


def test_bone_is_met_where_it_lies_and_faces_the_beam(back: Subject) -> None:
    recording, lattice = SMALL.record(back, generator=seeded())
    heights = lattice.heights_mm(torch.device("cpu"))
    row = int((heights - float(back.spine.centres_mm[1, 2])).abs().argmin())
    column = int((lattice.columns_mm(torch.device("cpu")) - 9.0).abs().argmin())
    depth = lattice.first_mm[1] - float(recording.sweep.surface_mm[row, column])
    assert depth == pytest.approx(15.0, abs=1.0)  # the last voxel of the lamina is centred at y = 14
    assert float(recording.sweep.facing[row, column]) > 0.97


@pytest.mark.parametrize("slope_deg", [20.0, 40.0])
def test_the_normal_of_a_slanted_plate_is_found(slope_deg: float) -> None:
    slope = math.tan(math.radians(slope_deg))
    plate = add_bone(
        block_back(bones=False), lambda x, y, z: (y < 5 + slope * x) & (y > slope * x - 12) & (x.abs() < 25)
    )
    recording, lattice = SMALL.record(plate, generator=seeded())
    columns = lattice.columns_mm(torch.device("cpu"))
    inner = recording.sweep.facing[30:60, columns.abs() < 12]
    assert float(inner.median()) == pytest.approx(math.cos(math.radians(slope_deg)), abs=0.04)


def test_tilted_bone_returns_less_but_never_nothing() -> None:
    echo = Beam().bone_amplitude(torch.tensor([1.0, 0.7, 0.3, 0.0]))
    assert bool((echo.diff() < 0).all())
    assert float(20 * (echo[-1] / echo[0]).log10()) == pytest.approx(20 * math.log10(0.15), abs=0.01)


def test_gain_leaves_the_stated_residual(back: Subject) -> None:
    beam = replace(EVEN, tgc_residual_db_cm=1.0)
    recording = replace(SMALL, beam=beam).record(back, generator=seeded())[0]
    near, far = (torch.stack([muscle(recording, i + k) for k in range(8)]).square().mean() for i in (-24, 16))
    assert float(10 * (far / near).log10()) == pytest.approx(-2.0, abs=0.35)  # 20 mm deeper


def test_beyond_the_penetration_there_is_noise_only(back: Subject) -> None:
    beam = replace(EVEN, penetration_mm=30.0)
    recording = replace(SMALL, beam=beam).record(back, generator=seeded())[0]
    face = float(recording.sweep.face_mm.mean() - recording.sweep.reference_mm.mean())
    for index, expected_db in ((-35, 0.0), (40, float(beam.noise_db(torch.tensor(45.0))))):
        depth_mm = index * 0.5 - face
        power = muscle(recording, index).square().mean()
        assert float(10 * power.log10()) == pytest.approx(expected_db, abs=1.5), depth_mm


def test_where_the_skin_falls_away_the_image_is_black() -> None:
    stepped = block_back(skin=lambda x, z: torch.where(x < -24, SKIN_MM - 22.0, SKIN_MM))
    image = replace(SMALL, probe=replace(STILL, roll_share=0.0))(stepped, generator=seeded())
    at_x = [round((float(image.world_from_pixel[0, 3]) - x) / 0.5) for x in (-40.0, 20.0)]  # type: ignore[index]
    assert float(image.echo[60:180, at_x[0] - 8 : at_x[0] + 8].max()) < 0.02
    assert float(image.echo[60:180, at_x[1] - 8 : at_x[1] + 8].mean()) > 0.2


def test_a_hand_that_rolls_with_the_back_keeps_more_contact() -> None:
    hump = block_back(skin=lambda x, z: SKIN_MM + 0.3 * x)
    stiff, soft = (
        (replace(SMALL, probe=replace(STILL, roll_share=s))(hump, generator=seeded()).echo > 0).float().mean()
        for s in (0.0, 1.0)
    )
    assert float(soft) > 1.3 * float(stiff)


def test_patient_left_is_at_low_columns_and_cranial_at_low_rows() -> None:
    rib = add_bone(block_back(), lambda x, y, z: (x > 30) & (x < 44) & (z > 100) & (z < 108) & (y > 12) & (y < 18))
    plain, ribbed = (replace(SMALL, slab=Slab(contrast_share=0.0))(s, generator=seeded()) for s in (block_back(), rib))
    change = (ribbed.echo - plain.echo).abs()
    v, u = (float((change.sum(1 - k) * torch.arange(change.shape[k])).sum() / change.sum()) for k in (0, 1))
    m = ribbed.world_from_pixel
    assert m is not None
    x, _, z, _ = (m @ torch.tensor([u, v, 0.0, 1.0])).tolist()
    assert x == pytest.approx(36.0, abs=1.5)
    assert z == pytest.approx(103.0, abs=1.5)
    assert u < ribbed.echo.shape[1] / 2
    assert v < ribbed.echo.shape[0] / 2


def test_depth_grows_towards_the_front_in_a_right_handed_frame(back: Subject) -> None:
    m = SMALL(back, generator=seeded()).world_from_pixel
    assert m is not None
    assert m[:3, 2].tolist() == [0.0, -1.0, 0.0]
    assert float(torch.linalg.det(m[:3, :3])) > 0
    assert float(m[1, 3]) == pytest.approx(15.0, abs=2.0)  # the reference surface runs along the laminae


def test_the_nine_depths_are_nine_single_calls(back: Subject) -> None:
    nine = SMALL.at_depths(back, generator=seeded(5))
    assert len(nine) == len(DEPTH_OFFSETS_MM) == 9
    for k in (1, 4):
        single = replace(SMALL, depth_offset_mm=DEPTH_OFFSETS_MM[k])(back, generator=seeded(5))
        assert torch.allclose(nine[k].echo, single.echo, atol=1e-6)
    assert float((nine[0].echo - nine[8].echo).abs().mean()) > 0.02


def test_the_generator_alone_decides_the_image(back: Subject) -> None:
    a, b, c = (SMALL(back, generator=seeded(s)).echo for s in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_an_oblique_finer_grid_gives_the_same_picture(back: Subject) -> None:
    flipped = Volume(back.volume.hu.flip(2), back.volume.world_from_voxel.clone(), back.volume.labels.flip(2))  # type: ignore[union-attr]
    flipped.world_from_voxel[0, 3] += flipped.world_from_voxel[0, 0] * (back.volume.hu.shape[2] - 1)
    flipped.world_from_voxel[0, 0] *= -1
    a = SMALL(back, generator=seeded()).echo
    b = SMALL(Subject(flipped, back.spine), generator=seeded()).echo
    assert float((a - b).abs().max()) < 0.02


def test_labels_are_not_needed_where_hu_shows_the_bone(back: Subject) -> None:
    bare = Subject(Volume(back.volume.hu, back.volume.world_from_voxel), back.spine)
    a, b = (SMALL(s, generator=seeded()).echo for s in (back, bare))
    assert float((a - b).abs().mean()) < 1e-3


@pytest.mark.parametrize("part", [Probe(), Beam(), Slab()])
def test_defaults_lie_within_their_documented_ranges(part: Probe | Beam | Slab) -> None:
    for f in fields(part):
        assert f.metadata["low"] <= getattr(part, f.name) <= f.metadata["high"], f.name


def test_a_randomised_sensor_is_another_one_within_the_ranges() -> None:
    a, b = (SMALL.randomised(generator=seeded(s)) for s in (1, 2))
    assert a != b
    assert a == SMALL.randomised(generator=seeded(1))
    assert a.shape_px == SMALL.shape_px
    for part in (a.probe, a.beam, a.slab):
        assert all(f.metadata["low"] <= getattr(part, f.name) <= f.metadata["high"] for f in fields(part))


def test_equalisation_keeps_order_black_and_range() -> None:
    ramp = torch.linspace(0, 1, 64).expand(48, 64).contiguous()
    out = equalise(ramp, torch.ones_like(ramp), (1, 1), clip=2.0)
    assert float(out.min()) == 0.0
    assert float(out.max()) <= 1.0
    assert bool((out.diff(dim=1) >= -1e-6).all())
    flat = equalise(torch.full((40, 40), 0.5), torch.zeros(40, 40), (2, 2), clip=2.0)
    assert float((flat - 0.5).abs().max()) < 0.01  # nothing scanned: nothing changed


def test_a_back_without_skin_or_bone_is_refused(back: Subject) -> None:
    nothing = Volume(torch.full_like(back.volume.hu, -1000.0), back.volume.world_from_voxel)
    with pytest.raises(ValueError, match="skin"):
        SMALL(Subject(nothing, back.spine), generator=seeded())
    with pytest.raises(ValueError, match="bone"):
        SMALL(block_back(bones=False), generator=seeded())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Beam(frequency_mhz=0.0), "frequency_mhz"),
        (lambda: Beam(shadow=float("nan")), "shadow"),
        (lambda: Probe(width_mm=-1.0), "width_mm"),
        (lambda: Slab(above_mm=0.0, below_mm=1.0), "slab"),
        (lambda: UltrasoundSensor(pixel_spacing_mm=(0.0, 0.5)), "positive"),
        (lambda: UltrasoundSensor(depth_offset_mm=99.0), "depth_offset_mm"),
    ],
)
def test_senseless_settings_are_refused(make, name: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=name):
        make()
