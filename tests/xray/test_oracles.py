"""The projector against projectors that other people wrote: nanodrr (cone) and SimpleITK's resampler (parallel)."""

import pytest
import torch
from scenes import affine, chest, view

from spondyl.geometry import View
from spondyl.xray.project import project_channels


def relative_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize(("angle", "tilt"), [(0, 0), (90, 0), (30, 10), (200, -15)])
def test_nanodrr_gives_the_same_cone_beam_image(angle: float, tilt: float) -> None:
    pytest.importorskip("nanodrr", reason="nanodrr is not installed (pip install 'spondyl[oracle]')")
    from nanodrr.camera import make_k_inv
    from nanodrr.data import Subject
    from nanodrr.drr import DRR

    channels, world_from_voxel = chest(4.0)
    v = view(angle, tilt, shape_px=(64, 64), pitch_mm=4.0, sdd_mm=1020, centre_mm=(0, 0, 0))
    (h, w), (dv, du) = v.shape_px, v.pixel_spacing_mm
    m = world_from_voxel.float()
    subject = Subject(
        channels[None], torch.zeros(1, 1, 1, 1, 1), m, m.inverse(), Subject._make_voxel_to_grid(channels[None].shape),
        torch.zeros(3), convert_to_mu=False,
    )  # fmt: skip
    drr = DRR(make_k_inv(1020.0, du, dv, 0.0, 0.0, h, w, dtype=torch.float32), torch.tensor([1020.0]), h, w)
    # its camera frame: x along columns, y along rows, z along the beam, origin at the source
    camera = v.world_from_detector.clone()
    camera[:3, 3] -= camera[:3, 2] * v.source_to_detector_mm
    theirs = drr(subject, camera[None], n_samples=600).reshape(h, w)
    ours = project_channels(channels, world_from_voxel, v)[0]
    # two quadratures of one interpolated volume: they differ at sharp edges only
    assert relative_difference(ours, theirs) < 0.01


@pytest.mark.parametrize("angle", [0.0, 25.0, 90.0, 217.0])
def test_simpleitk_resampled_along_the_beam_and_summed_gives_the_same_parallel_image(angle: float) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (pip install 'spondyl[itk]')")
    channels, world_from_voxel = chest(4.0)
    spacing, (h, w, depth) = 4.0, (60, 80, 120)
    v = View.around(
        (0, 0, 0), angle_deg=angle, source_to_detector_mm=1000, source_to_centre_mm=600,
        pixel_spacing_mm=(spacing, spacing), shape_px=(h, w), beam="parallel",
    )  # fmt: skip
    image = sitk.GetImageFromArray(channels[0].numpy())
    m = world_from_voxel
    image.SetOrigin(m[:3, 3].tolist())
    image.SetSpacing([spacing] * 3)
    # a grid whose third axis runs along the beam, centred on the origin
    turn = v.world_from_detector[:3, :3].double()
    first = -(turn @ (torch.tensor([w - 1, h - 1, depth - 1], dtype=torch.float64) / 2 * spacing))
    reslicer = sitk.ResampleImageFilter()
    reslicer.SetSize([w, h, depth])
    reslicer.SetOutputSpacing([spacing] * 3)
    reslicer.SetOutputDirection(turn.flatten().tolist())
    reslicer.SetOutputOrigin(first.tolist())
    reslicer.SetInterpolator(sitk.sitkLinear)
    theirs = torch.from_numpy(sitk.GetArrayFromImage(reslicer.Execute(image))).sum(0) * spacing
    ours = project_channels(channels, m, v)[0]
    assert relative_difference(ours, theirs) < 0.01


def test_a_wrong_geometry_would_be_noticed() -> None:
    channels, world_from_voxel = chest(8.0)
    right = project_channels(channels, world_from_voxel, view(30, 10, shape_px=(64, 64), pitch_mm=4.0))
    for wrong in (view(33, 10, shape_px=(64, 64), pitch_mm=4.0), view(-30, 10, shape_px=(64, 64), pitch_mm=4.0)):
        assert relative_difference(project_channels(channels, world_from_voxel, wrong), right) > 0.01
    assert not torch.equal(affine((8.0,) * 3, (32, 32, 32)), affine((8.0,) * 3, (33, 32, 32)))
