"""Pairs stack in order with their truth, and refuse to stack where they cannot."""

import pytest
import torch

from spondyl.geometry import View
from spondyl.images import BackImage, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image, Pair, Skin, Subject, collate, tensor_of
from spondyl.spine import SpineCurve


def spine(height_mm: float = 0.0) -> SpineCurve:
    centre = torch.tensor([[0.0, 0.0, height_mm]])
    return SpineCurve(("T8",), centre, torch.eye(3)[None], torch.ones(1, 3), torch.zeros(1, 2, 3, 3))


def radiograph(value: float = 0.0, shape: tuple[int, int] = (4, 3)) -> Radiograph:
    return Radiograph(torch.full(shape, float(value)), View.around((0, 0, 0), shape_px=shape))


def ultrasound(value: float = 0.5, shape: tuple[int, int] = (6, 2)) -> Ultrasound:
    return Ultrasound(torch.full(shape, float(value)), (1.0, 1.0))


def pair(source: Image, target: Image, seed: int = 0) -> Pair:
    return Pair(source, target, spine(seed), seed)


def test_a_batch_keeps_images_spines_and_seeds_in_one_order() -> None:
    batch = collate([pair(ultrasound(s / 10), radiograph(s), seed=s) for s in (3, 1, 2)])
    assert batch.source.shape == (3, 6, 2)
    assert batch.target.shape == (3, 4, 3)
    assert batch.seeds == (3, 1, 2)
    assert batch.target[:, 0, 0].tolist() == [3, 1, 2]
    assert [float(s.centres_mm[0, 2]) for s in batch.spines] == [3, 1, 2]


def test_images_of_two_shapes_are_refused_by_name() -> None:
    mixed = [pair(ultrasound(), radiograph()), pair(ultrasound(), radiograph(shape=(5, 3)))]
    with pytest.raises(ValueError, match=r"target images differ in shape: \[\(4, 3\), \(5, 3\)\]; resample"):
        collate(mixed)
    with pytest.raises(ValueError, match="source images differ"):
        collate([pair(b, a) for a, b in ((p.source, p.target) for p in mixed)])


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="got no pair"):
        collate([])


def test_each_image_gives_the_numbers_of_its_own_unit() -> None:
    ct = Volume(torch.full((2, 2, 2), -1000.0), torch.eye(4))
    assert tensor_of(ct) is ct.hu
    film, echo = radiograph(1.5), ultrasound()
    assert tensor_of(film) is film.optical_depth
    assert tensor_of(echo) is echo.echo


def test_a_back_photograph_is_colour_and_depth_in_four_channels() -> None:
    rgb, depth = torch.rand(3, 4, 5), torch.full((4, 5), 900.0)
    stacked = tensor_of(BackImage(rgb, depth, torch.eye(3), torch.eye(4)))
    assert stacked.shape == (4, 4, 5)
    torch.testing.assert_close(stacked[:3], rgb)
    torch.testing.assert_close(stacked[3], depth)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1"):
        Pair(ultrasound(), radiograph(), spine(), -1)


def test_a_face_must_name_vertices_that_exist() -> None:
    corner = torch.eye(3)
    assert Skin(corner, torch.tensor([[0, 1, 2]])).faces.shape == (1, 3)
    assert Skin(corner, torch.zeros(0, 3, dtype=torch.int64)).faces.shape == (0, 3)
    for bad in ([[0, 1, 3]], [[-1, 0, 1]]):
        with pytest.raises(ValueError, match="outside 0 to 2; check the mesh"):
            Skin(corner, torch.tensor(bad))


def test_a_subject_may_have_no_skin() -> None:
    assert Subject(Volume(torch.zeros(1, 1, 1), torch.eye(4)), spine()).skin is None
