"""The image words: a grid's corners and centre for any affine, labels that do not clash, refusals in one sentence."""

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from spondyl.geometry import View, stack_views
from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, BackImage, Radiograph, Ultrasound, Volume
from spondyl.spine import LEVEL_LABELS

ENTRY = st.floats(-3, 3)
SHAPE = st.tuples(*[st.integers(1, 6)] * 3)


def volume(shape: tuple[int, int, int], affine: Tensor) -> Volume:
    return Volume(torch.zeros(shape), affine)


def affine_of(numbers: list[float]) -> Tensor:
    m = torch.eye(4, dtype=torch.float64)
    m[:3] = torch.tensor(numbers, dtype=torch.float64).reshape(3, 4)
    assume(abs(float(torch.linalg.det(m[:3, :3]))) > 1e-3)
    return m


@settings(max_examples=60, deadline=None)
@given(st.lists(ENTRY, min_size=12, max_size=12), SHAPE)
def test_corners_are_half_a_voxel_outside_the_outer_centres_for_any_affine(
    numbers: list[float], shape: tuple[int, int, int]
) -> None:
    m = affine_of(numbers)
    corners = volume(shape, m).corners_mm()
    nz, ny, nx = shape
    ends = [(i, j, k) for k in (-0.5, nz - 0.5) for j in (-0.5, ny - 0.5) for i in (-0.5, nx - 0.5)]
    expected = torch.stack([m[:3, 0] * i + m[:3, 1] * j + m[:3, 2] * k + m[:3, 3] for i, j, k in ends])
    torch.testing.assert_close(corners, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(ENTRY, min_size=12, max_size=12), SHAPE)
def test_the_centre_is_the_mean_of_the_corners_even_where_the_grid_is_sheared_or_mirrored(
    numbers: list[float], shape: tuple[int, int, int]
) -> None:
    grid = volume(shape, affine_of(numbers))
    torch.testing.assert_close(torch.tensor(grid.centre_mm, dtype=torch.float64), grid.corners_mm().mean(0))


def test_a_gantry_tilt_shifts_the_corners_of_the_upper_slices_only() -> None:
    m = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0]))
    sheared = m.clone()
    sheared[1, 2] = 2 * math.tan(math.radians(20))
    straight, tilted = volume((4, 3, 2), m).corners_mm(), volume((4, 3, 2), sheared).corners_mm()
    shift = (tilted - straight)[:, 1]
    step = 2 * math.tan(math.radians(20))
    assert shift[:4].tolist() == pytest.approx([-0.5 * step] * 4)
    assert shift[4:].tolist() == pytest.approx([3.5 * step] * 4)
    assert (tilted - straight)[:, [0, 2]].abs().max() == 0


def test_spacing_is_the_length_of_each_column_of_the_affine() -> None:
    m = torch.eye(4)
    m[:3, 0], m[:3, 1], m[:3, 2] = torch.tensor([0.0, 0.7, 0]), torch.tensor([-3.0, 4, 0]), torch.tensor([0, 0, -2.5])
    assert volume((2, 2, 2), m).spacing_mm == pytest.approx((0.7, 5.0, 2.5))


def test_the_outermost_voxel_centres_lie_inside_the_corners() -> None:
    m = torch.diag(torch.tensor([0.5, 0.5, 3.0, 1.0]))
    corners = volume((5, 4, 3), m).corners_mm()
    assert corners.min(0).values.tolist() == pytest.approx([-0.25, -0.25, -1.5])
    assert corners.max(0).values.tolist() == pytest.approx([1.25, 1.75, 13.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (torch.diag(torch.tensor([1.0, 1, 0, 1])), "spacing is zero"),
        (torch.full((4, 4), math.nan), "not a finite 4 x 4"),
        (torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "two axes agree"),
    ],
)
def test_a_grid_without_a_place_is_refused(change: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        volume((2, 2, 2), change)


def test_an_empty_volume_is_refused() -> None:
    with pytest.raises(ValueError, match="none empty"):
        volume((0, 2, 2), torch.eye(4))


def test_moving_a_volume_keeps_labels_or_their_absence() -> None:
    plain = volume((2, 2, 2), torch.eye(4))
    assert plain.to("cpu").labels is None
    labelled = Volume(plain.hu, plain.world_from_voxel, torch.ones(2, 2, 2, dtype=torch.int16)).to("cpu")
    assert labelled.labels is not None
    assert labelled.labels.dtype == torch.int16


def test_no_two_structures_share_a_label_and_every_level_is_bone() -> None:
    assert len(set(STRUCTURE_LABELS.values())) == len(STRUCTURE_LABELS)
    assert set(LEVEL_LABELS.values()) <= set(BONE_LABELS)
    assert len(set(BONE_LABELS)) == len(BONE_LABELS)
    bones = {"rib", "pelvis", "femur", "sternum", "scapula", "clavicle", "humerus", "skull", "coccyx"}
    assert {STRUCTURE_LABELS[b] for b in bones} <= set(BONE_LABELS)
    soft = {"background", "disc", "lung", "muscle", "fat", "skin", "cartilage", "metal"}
    assert not {STRUCTURE_LABELS[s] for s in soft} & set(BONE_LABELS)


def test_a_radiograph_and_its_view_agree_in_pixels_and_in_number() -> None:
    one = View.around((0, 0, 0), shape_px=(4, 3))
    assert Radiograph(torch.zeros(4, 3), one).view is one
    with pytest.raises(ValueError, match=r"\(3, 4\) pixels, its view \(4, 3\)"):
        Radiograph(torch.zeros(3, 4), one)
    two = stack_views([one, one])
    assert Radiograph(torch.zeros(2, 4, 3), two).optical_depth.shape == (2, 4, 3)
    with pytest.raises(ValueError, match=r"holds \(\) images, its view \(2,\)"):
        Radiograph(torch.zeros(4, 3), two)


def test_mapping_a_radiograph_keeps_its_exposure() -> None:
    image = Radiograph(torch.ones(4, 3), View.around((0, 0, 0), shape_px=(4, 3)))
    doubled = image.map(lambda depth: depth * 2)
    assert doubled.view is image.view
    assert doubled.optical_depth.unique().tolist() == [2]
    assert image.optical_depth.unique().tolist() == [1]


@pytest.mark.parametrize("echo", [-0.1, 1.5, math.nan])
def test_an_echo_outside_its_range_is_refused(echo: float) -> None:
    with pytest.raises(ValueError, match=r"wanted values in \[0, 1\]"):
        Ultrasound(torch.tensor([[0.5, echo]]), (1.0, 1.0))


def test_an_ultrasound_pixel_has_a_size() -> None:
    with pytest.raises(ValueError, match="pixel_spacing_mm"):
        Ultrasound(torch.zeros(2, 2), (0.0, 1.0))


@pytest.mark.parametrize("colour", [200.0, -0.1])
def test_colour_outside_its_range_is_refused(colour: float) -> None:
    with pytest.raises(ValueError, match="divide 8-bit colour by 255"):
        BackImage(torch.full((3, 4, 4), colour), torch.zeros(4, 4), torch.eye(3), torch.eye(4))


# With the shape checker of the tests on, a wrong rank never reaches the words' own checks: a process without it.
PLAIN = """
    import torch
    from spondyl.geometry import View
    from spondyl.images import BackImage, Volume
    from spondyl.spine import Corners, SpineCurve
    zeros, one, eye = torch.zeros, torch.ones(1), torch.eye(4)
    tries = {
        "hu has shape (2, 2)": lambda: Volume(zeros(2, 2), eye),
        "not a finite 4 x 4": lambda: Volume(zeros(2, 2, 2), torch.eye(3)),
        "labels have shape (1, 2, 2)": lambda: Volume(zeros(2, 2, 2), eye, zeros(1, 2, 2)),
        "rgb is (4, 4) pixels, depth (4, 5); register them": lambda: BackImage(
            zeros(3, 4, 4), zeros(4, 5), torch.eye(3), eye),
        "world_from_detector has shape (3, 3)": lambda: View(torch.eye(3), torch.tensor(1.0), (1.0, 1.0), (1, 1)),
        "wanted one distance a view": lambda: View(eye, zeros(2), (1.0, 1.0), (1, 1)),
        "wanted one of cone, slot, parallel": lambda: View(eye, torch.tensor(1.0), (1.0, 1.0), (1, 1), "fan"),
        "corners_px has shape (1, 4); wanted (1, 4, 2)": lambda: Corners(("T1",), zeros(1, 4), one),
        "confidence has shape (2,)": lambda: Corners(("T1",), zeros(1, 4, 2), zeros(2)),
        "axes has shape (1, 3); wanted (1, 3, 3)": lambda: SpineCurve(
            ("T1",), zeros(1, 3), zeros(1, 3), zeros(1, 3), zeros(1, 2, 3, 3)),
        "centres_mm has shape (2, 3)": lambda: SpineCurve(
            ("T1",), zeros(2, 3), zeros(1, 3, 3), zeros(1, 3), zeros(1, 2, 3, 3)),
    }
    for wanted, attempt in tries.items():
        try:
            attempt()
        except ValueError as error:
            assert wanted in str(error) and "\\n" not in str(error), (wanted, str(error))
        else:
            raise AssertionError(wanted)
    print("all refused")
"""


def test_wrong_shapes_are_refused_in_one_line_without_the_shape_checker_too() -> None:
    root = Path(__file__).resolve().parents[1]
    code = f"import sys; sys.path.insert(0, {str(root / 'src')!r})\n" + textwrap.dedent(PLAIN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "all refused\n", done.stderr
