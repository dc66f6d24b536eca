"""VOI curves against their equations and against pydicom, and the window of a spine film."""

import numpy as np
import pytest
import torch
from pydicom import Dataset
from pydicom.pixels.processing import apply_windowing

from spondyl.io.display import FALLBACK_WINDOW, spine_window, voi_curve


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048.0, 4096.0), (600.0, 300.0), (1000.5, 2.0), (40.0, 1.5)])
def test_every_curve_agrees_with_pydicom(function: str, centre: float, width: float) -> None:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 12, 0
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = centre, width, function
    values = np.arange(4096, dtype=np.uint16)
    wanted = apply_windowing(values, ds) / 4095
    got = voi_curve(torch.from_numpy(values.astype(np.float32)), function=function, centre=centre, width=width)
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-6)


def test_the_linear_ramp_ends_half_a_value_inside_its_window() -> None:
    # PS3.3 C.11.2.1.2.1, the example of the standard: centre 2048, width 4096 maps 0 to black and 4095 to white
    got = voi_curve(torch.tensor([0.0, 4095.0, 2047.5]), function="LINEAR", centre=2048, width=4096)
    torch.testing.assert_close(got, torch.tensor([0.0, 1.0, 0.5]))


def test_a_linear_window_one_wide_is_a_step_at_its_centre() -> None:
    got = voi_curve(torch.tensor([6.0, 7.0]), function="LINEAR", centre=7, width=1)
    assert got.tolist() == [0, 1]


def test_the_sigmoid_is_a_half_at_its_centre_and_symmetric() -> None:
    got = voi_curve(torch.tensor([-3.0, 5.0, 13.0]), function="SIGMOID", centre=5, width=8)
    assert float(got[1]) == 0.5
    assert float(got[0] + got[2]) == pytest.approx(1)
    assert float(got[2]) == pytest.approx(1 / (1 + np.exp(-4)))


@pytest.mark.parametrize(("function", "width"), [("LINEAR", 0.5), ("LINEAR_EXACT", 0.0), ("SIGMOID", -1.0)])
def test_an_impossible_width_is_refused(function: str, width: float) -> None:
    with pytest.raises(ValueError, match="window width"):
        voi_curve(torch.zeros(3), function=function, centre=0, width=width)


def test_the_spine_window_ignores_the_open_field_and_a_screw() -> None:
    depth = torch.zeros(200, 100)
    depth[:, 20:80] = torch.linspace(2, 6, 60)
    depth[:3, :3] = 30  # metal: 9 of 12009 covered pixels
    low, high = spine_window(depth)
    assert 2 <= low < 2.3
    assert 5.8 < high <= 6.1


def test_the_window_of_an_empty_picture_is_that_of_a_trunk() -> None:
    assert spine_window(torch.zeros(64, 64)) == FALLBACK_WINDOW


def test_the_window_of_a_flat_picture_has_width() -> None:
    low, high = spine_window(torch.full((64, 64), 3.0))
    assert high - low >= 0.5
    assert low < 3 < high
