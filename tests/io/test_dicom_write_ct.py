"""CT series out: every voxel at its place in the world, valid and consistent DICOM, marked, all or nothing."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dciodvfy import complaints, series_complaints
from pydicom import Dataset, dcmread
from test_dicom_write import HOSPITAL, SIMULATED

from spondyl.images import Volume
from spondyl.io.dicom_write_ct import write_ct_series

DERIVATION = "Rasterised from a virtual patient"


def volume(axes: torch.Tensor | None = None, shape: tuple[int, int, int] = (4, 6, 5)) -> Volume:
    """Noise in HU on a grid whose axes (columns, mm a voxel) and origin are given."""
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.diag(torch.tensor([0.8, 0.7, 2.5], dtype=torch.float64)) if axes is None else axes.double()
    affine[:3, 3] = torch.tensor([-12.5, 33.25, 901.0])
    hu = torch.randint(-1024, 3000, shape, generator=torch.Generator().manual_seed(3)).float()
    return Volume(hu, affine)


def turned(
    angles_deg: tuple[float, float, float], spacing: tuple[float, float, float] = (0.8, 0.7, 2.5)
) -> torch.Tensor:
    """Axes of a grid turned about x, then y, then z."""
    m = torch.eye(3, dtype=torch.float64)
    for axis, angle_deg in enumerate(angles_deg):
        c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        r = torch.eye(3, dtype=torch.float64)
        r[i, i], r[i, j], r[j, i], r[j, j] = c, -s, s, c
        m = r @ m
    return m @ torch.diag(torch.tensor(spacing, dtype=torch.float64))


def voxels_in_the_world(paths: list[Path]) -> dict[tuple[float, float, float], float]:
    """World position (rounded to 1e-4 mm) -> HU, by the equation of PS3.3 C.7.6.2.1.1 alone."""
    found = {}
    for ds in map(dcmread, paths):
        x, y = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        row_mm, column_mm = (float(s) for s in ds.PixelSpacing)
        for (r, c), value in np.ndenumerate(ds.pixel_array):
            p = np.array(ds.ImagePositionPatient, float) + x * column_mm * c + y * row_mm * r
            found[tuple(np.round(p, 4) + 0.0)] = float(value) * ds.RescaleSlope + ds.RescaleIntercept
    return found


def voxels_wanted(image: Volume) -> dict[tuple[float, float, float], float]:
    m = image.world_from_voxel.double().numpy()
    return {
        tuple(np.round(m[:3, :3] @ (x, y, z) + m[:3, 3], 4) + 0.0): float(value)
        for (z, y, x), value in np.ndenumerate(image.hu.numpy())
    }


SIGNED_PERMUTATIONS = [
    torch.stack(
        [torch.eye(3)[i] * sign * size for i, sign, size in zip(order, signs, (0.8, 0.7, 2.5), strict=True)], dim=1
    )
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS)
def test_every_voxel_is_at_its_place_in_any_straight_grid_left_handed_too(tmp_path: Path, axes: torch.Tensor) -> None:
    image = volume(axes)
    paths = write_ct_series(image, tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    assert voxels_in_the_world(paths) == voxels_wanted(image)
    first = dcmread(paths[0])
    # viewers expect axial slices with the patient's left and back on the right and below
    assert [float(x) for x in first.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("angles_deg", [(10.0, 0.0, 0.0), (20.0, -15.0, 30.0), (0.0, 50.0, 0.0), (35.0, 35.0, 45.0)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_voxel_is_at_its_place_in_an_oblique_grid(
    tmp_path: Path, angles_deg: tuple[float, float, float], mirrored: bool
) -> None:
    axes = turned(angles_deg)
    image = volume(axes * torch.tensor([-1.0, 1, 1]).double() if mirrored else axes)
    paths = write_ct_series(image, tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    found, wanted = voxels_in_the_world(paths), voxels_wanted(image)
    positions = np.array(sorted(found)), np.array(sorted(wanted))
    np.testing.assert_allclose(positions[0], positions[1], atol=2e-4)
    assert [found[p] for p in sorted(found)] == [wanted[p] for p in sorted(wanted)]


def test_slices_follow_each_other_along_their_normal(tmp_path: Path) -> None:
    oblique = volume(turned((20.0, 10.0, 0.0)))
    paths = write_ct_series(oblique, tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    slices = [dcmread(path) for path in paths]
    x, y = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    heights = [float(np.cross(x, y) @ np.array(s.ImagePositionPatient, float)) for s in slices]
    np.testing.assert_allclose(np.diff(heights), 2.5, atol=1e-6)
    assert [s.InstanceNumber for s in slices] == list(range(1, len(slices) + 1))
    assert len({s.FrameOfReferenceUID for s in slices}) == len({s.SeriesInstanceUID for s in slices}) == 1
    assert len({s.SOPInstanceUID for s in slices}) == len(slices)


@pytest.mark.parametrize("fraction", [-0.4, 0.4])
def test_fractions_of_a_hounsfield_unit_are_rounded(tmp_path: Path, fraction: float) -> None:
    image = replace(volume(), hu=volume().hu + fraction)
    paths = write_ct_series(image, tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    assert voxels_in_the_world(paths) == voxels_wanted(volume())


@pytest.mark.parametrize("source", [SIMULATED, HOSPITAL])
def test_the_validators_find_no_error(tmp_path: Path, source: object) -> None:
    paths = write_ct_series(volume(turned((20.0, 10.0, 0.0))), tmp_path / "ct", source=source, derivation=DERIVATION)
    assert complaints(paths[0]) == []
    assert complaints(paths[-1]) == []
    assert series_complaints(paths) == []


def test_the_series_validator_would_find_a_stranger(tmp_path: Path) -> None:
    paths = write_ct_series(volume(), tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    ds = dcmread(paths[0])
    ds.PatientSex = "O"
    ds.save_as(paths[0])
    assert series_complaints(paths)


def test_every_slice_is_marked(tmp_path: Path) -> None:
    for ds in map(dcmread, write_ct_series(volume(), tmp_path / "ct", source=HOSPITAL, derivation=DERIVATION)):
        assert ds.SyntheticData == "YES"
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert ds.SeriesDescription.startswith("SYNTHETIC")
        assert ds.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert len(ds.SourceImageSequence) == 2
        assert (ds.StudyInstanceUID, str(ds.PatientName)) == ("1.2.3.4", "Curve^Ünique")
        assert ds.KVP is None


def test_writing_twice_gives_the_same_files_and_a_shorter_series_leaves_none_behind(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    first = {p.name: p.read_bytes() for p in write_ct_series(volume(), folder, source=SIMULATED, derivation=DERIVATION)}
    again = {p.name: p.read_bytes() for p in write_ct_series(volume(), folder, source=SIMULATED, derivation=DERIVATION)}
    assert first == again
    short = write_ct_series(volume(shape=(2, 6, 5)), folder, source=SIMULATED, derivation=DERIVATION)
    assert sorted(folder.iterdir()) == sorted(short)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ct"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "IM0001.dcm").write_text("a real slice")
    with pytest.raises(ValueError, match="holds other files"):
        write_ct_series(volume(), tmp_path, source=SIMULATED, derivation=DERIVATION)
    assert [entry.name for entry in tmp_path.iterdir()] == ["IM0001.dcm"]


def test_a_disk_that_fills_up_leaves_the_earlier_series_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ct"
    write_ct_series(volume(), folder, source=SIMULATED, derivation=DERIVATION)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    real, count = Dataset.save_as, itertools.count()

    def filling(self: Dataset, *args: object, **named: object) -> None:
        if next(count) == 2:
            raise OSError(28, "No space left on device")
        real(self, *args, **named)

    monkeypatch.setattr(Dataset, "save_as", filling)
    with pytest.raises(OSError, match="no space left on device") as caught:
        write_ct_series(volume(turned((9.0, 0, 0))), folder, source=SIMULATED, derivation=DERIVATION)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["ct"]


def test_a_move_that_fails_brings_the_earlier_series_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ct"
    write_ct_series(volume(), folder, source=SIMULATED, derivation=DERIVATION)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    real = Path.rename

    def stuck(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(16, "Device or resource busy")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(OSError, match="busy"):
        write_ct_series(volume(turned((9.0, 0, 0))), folder, source=SIMULATED, derivation=DERIVATION)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["ct"]


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "ct"):
        with pytest.raises(OSError, match="cannot write") as caught:
            write_ct_series(volume(), folder, source=SIMULATED, derivation=DERIVATION)
        assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_a_sheared_grid_is_refused_in_one_line(tmp_path: Path) -> None:
    axes = torch.diag(torch.tensor([0.8, 0.7, 2.5], dtype=torch.float64))
    axes[1, 2] = 2.5 * math.tan(math.radians(5))
    with pytest.raises(ValueError, match=r"axes y and z meet at 85\.00 degrees") as caught:
        write_ct_series(volume(axes), tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), 40000.0, -40000.0])
def test_numbers_that_ct_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    image = volume()
    image.hu[0, 0, 0] = value
    with pytest.raises(ValueError, match="16 bits"):
        write_ct_series(image, tmp_path / "ct", source=SIMULATED, derivation=DERIVATION)
    assert list(tmp_path.iterdir()) == []
