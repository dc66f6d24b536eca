"""Numbers that cannot be Hounsfield units are said to be none; padding becomes air."""

import numpy as np
import pytest
from made_spine import made_spine

from spondyl.io.hounsfield import to_hounsfield

RNG = np.random.default_rng(0)


def notes(values: np.ndarray) -> str:
    return " ".join(to_hounsfield(values)[1])


def test_ct_values_pass_unchanged_and_unremarked() -> None:
    values = RNG.integers(-1290, 3071, (6, 7, 8)).astype(np.int16)
    hu, found = to_hounsfield(values)
    assert hu.dtype == np.float32
    assert np.array_equal(hu, values)
    assert found == ()


@pytest.mark.parametrize("mark", [-2000, -3024, -8192, -32768])
def test_padding_becomes_air_and_is_counted(mark: int) -> None:
    values = RNG.integers(-1024, 500, (4, 5, 10)).astype(np.int32)
    values[0, :, :] = mark
    hu, found = to_hounsfield(values)
    assert (hu[0] == -1000).all()
    assert np.array_equal(hu[1:], values[1:])
    assert f"50 voxels (25.0 %) lie below -1500 HU (down to {mark})" in found[0]


def test_nan_and_infinity_become_air_and_are_counted() -> None:
    values = RNG.normal(0, 300, (4, 5, 6))
    values[0, 0, :3] = (np.nan, np.inf, -np.inf)
    hu, found = to_hounsfield(values)
    assert (hu[0, 0, :3] == -1000).all()
    assert "3 voxels are NaN" in found[0]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (RNG.integers(0, 256, (5, 5, 5)), "grey values 0..255, physics will be wrong"),
        (RNG.uniform(-1, 1, (5, 5, 5)), "a normalised volume"),
        (RNG.integers(0, 4096, (9, 9, 9)), "an offset of about -1024 seems missing"),
        (np.full((3, 3, 3), 7.0), "every voxel is 7"),
        (made_spine((19, 20, 21))[0], "this looks like a label map"),
    ],
)
def test_other_scales_are_named_and_left_alone(values: np.ndarray, word: str) -> None:
    hu, _ = to_hounsfield(values)
    assert word in notes(values)
    assert np.allclose(hu, values, atol=1e-6)
