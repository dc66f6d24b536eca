"""NIfTI in and out: RAS at the rim, LPS inside, exact HU, and one line for every broken file."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from one_line import refused

from spondyl.images import Volume
from spondyl.io.nifti import read_nifti, write_nifti
from spondyl.io.volumes import read_ct

RAS = np.array([[-1.5, 0.0, 0.0, 40.0], [0.0, -1.25, 0.0, 30.0], [0.0, 0.0, 2.0, -100.0], [0.0, 0.0, 0.0, 1.0]])
SHEARED_LPS = np.array([[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.4, -6.0], [0.0, 0.0, 2.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


def hu(shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    """Distinct whole HU."""
    return (np.arange(np.prod(shape)).reshape(shape) * 7 - 1000).astype(np.float32)


def saved(path: Path, data: np.ndarray, affine: np.ndarray = RAS, kind: type = nib.Nifti1Image) -> Path:
    nib.save(kind(data, affine), path)
    return path


def edit(path: Path, **fields: object) -> Path:
    raw = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(raw[:348]), dtype=nib.nifti1.header_dtype).copy()
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.tobytes()
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_voxel_keeps_its_world_point_in_lps(tmp_path: Path, kind: type, name: str) -> None:
    data = hu().T.astype(np.int16)
    grid = read_nifti(saved(tmp_path / name, data, RAS, kind))
    assert grid.values.shape == (4, 5, 6)
    assert grid.values[3, 2, 1] == data[1, 2, 3]
    ras = RAS @ [1, 2, 3, 1]
    assert (grid.world_from_voxel @ [1, 2, 3, 1])[:3].tolist() == pytest.approx([-ras[0], -ras[1], ras[2]])
    assert grid.source.kind == "nifti"
    assert grid.source.notes == ()


@pytest.mark.parametrize(
    "affine", [np.diag([1.5, 1.25, 2.0, 1.0]), SHEARED_LPS, RAS], ids=["plain", "sheared", "flipped"]
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_whole_hu_and_the_affine_come_back_exactly(tmp_path: Path, affine: np.ndarray, name: str) -> None:
    volume = Volume(torch.from_numpy(hu()), torch.from_numpy(affine))
    write_nifti(volume, tmp_path / name, sidecar={})
    assert nib.load(tmp_path / name).get_data_dtype() == np.int16
    again, source = read_ct(tmp_path / name)
    assert bool((again.hu == volume.hu).all())
    assert np.abs(again.world_from_voxel.numpy() - affine).max() < 1e-5
    assert source.notes == ()


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.integers(-1024, 3071), min_size=8, max_size=8),
    fraction=st.sampled_from([0.0, 0.5, 0.1]),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
)
def test_any_hu_round_trip(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], fraction: float, spacing: tuple[float, float, float]
) -> None:
    path = tmp_path_factory.mktemp("n") / "a.nii.gz"
    block = torch.tensor(values, dtype=torch.float32).reshape(2, 2, 2) + fraction
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    write_nifti(Volume(block, affine), path, sidecar={})
    grid = read_nifti(path)
    assert np.array_equal(grid.values.astype(np.float32), block.numpy())
    assert np.allclose(grid.world_from_voxel, affine.numpy(), rtol=1e-6)


def test_fractions_of_hu_are_stored_as_float32(tmp_path: Path) -> None:
    volume = Volume(torch.from_numpy(hu() + 0.25), torch.eye(4, dtype=torch.float64))
    write_nifti(volume, tmp_path / "a.nii.gz", sidecar={})
    assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == np.float32
    assert bool((read_ct(tmp_path / "a.nii.gz")[0].hu == volume.hu).all())


def test_other_readers_see_the_same_place(tmp_path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    affine = np.array([[0.0, 0.0, 2.0, 5.0], [-1.5, 0.0, 0.0, -6.0], [0.0, -1.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    write_nifti(Volume(torch.from_numpy(hu()), torch.from_numpy(affine)), tmp_path / "a.nii.gz", sidecar={})
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert image.TransformIndexToPhysicalPoint((1, 2, 3)) == pytest.approx((affine @ [1, 2, 3, 1])[:3], abs=1e-4)
    assert image.GetPixel(1, 2, 3) == hu()[3, 2, 1]


def test_labels_are_written_in_place_of_hu(tmp_path: Path) -> None:
    labels = torch.from_numpy(np.arange(120).reshape(4, 5, 6) % 29).to(torch.int16)
    volume = Volume(torch.from_numpy(hu()), torch.eye(4, dtype=torch.float64), labels)
    write_nifti(volume, tmp_path / "seg.nii.gz", sidecar={}, labels=True)
    grid = read_nifti(tmp_path / "seg.nii.gz")
    assert grid.values.dtype == np.uint8
    assert np.array_equal(grid.values, labels.numpy())


def test_the_sidecar_lies_beside_and_is_written_as_given(tmp_path: Path) -> None:
    volume = Volume(torch.from_numpy(hu()), torch.eye(4, dtype=torch.float64))
    side = {"SyntheticData": "YES", "Seed": 3.0, "Notes": ["größe"]}
    write_nifti(volume, tmp_path / "x.y.nii.gz", sidecar=side)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.y.json", "x.y.nii.gz"]
    assert json.loads((tmp_path / "x.y.json").read_text(encoding="utf-8")) == side


def test_one_volume_gives_one_sequence_of_bytes(tmp_path: Path) -> None:
    volume = Volume(torch.from_numpy(hu()), torch.eye(4, dtype=torch.float64))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(volume, tmp_path / name, sidecar={})
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(torch.from_numpy(hu()), torch.eye(4, dtype=torch.float64))
    write_nifti(volume, tmp_path / "a.nii.gz", sidecar={})
    before = (tmp_path / "a.nii.gz").read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_nifti(Volume(volume.hu + 1, volume.world_from_voxel), tmp_path / "a.nii.gz", sidecar={})
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("volume", "name", "labels", "word"),
    [
        (Volume(torch.zeros(2, 2, 2), torch.eye(4)), "a.mha", False, "does not end in .nii"),
        (Volume(torch.zeros(2, 2, 2), torch.eye(4)), "a.nii", True, "no labels"),
        (Volume(torch.full((2, 2, 2), torch.nan), torch.eye(4)), "a.nii", False, "NaN"),
        (
            Volume(torch.zeros(2, 2, 2), torch.eye(4), torch.full((2, 2, 2), -1, dtype=torch.int16)),
            "a.nii",
            True,
            "0 to 32767",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, volume: Volume, name: str, labels: bool, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        write_nifti(volume, tmp_path / name, sidecar={}, labels=labels)
    assert not list(tmp_path.iterdir())


def test_a_scale_in_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(6, 5, 4), RAS)
    image.header.set_slope_inter(0.5, -1000)
    path = tmp_path / "a.nii"
    path.write_bytes(image.to_bytes())
    path = edit(path, scl_slope=0.5, scl_inter=-1000)
    stored = np.asarray(image.dataobj)
    assert np.array_equal(read_nifti(path).values, stored.T * 0.5 - 1000)


def test_four_dimensions_with_one_volume_are_three(tmp_path: Path) -> None:
    data = hu().T[..., None]
    assert read_nifti(saved(tmp_path / "a.nii", data)).values.shape == (4, 5, 6)


def test_several_volumes_are_refused(tmp_path: Path) -> None:
    refused(saved(tmp_path / "a.nii", np.stack([hu().T] * 3, axis=-1)), "holds 3 volumes")


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (1, 5, 6)])
def test_a_picture_is_no_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refused(saved(tmp_path / "a.nii", np.zeros(shape, np.float32)), "wanted a volume")


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [np.nan, 0, 0, 0], [0, 1, 0, 0]])
def test_a_zero_nan_or_flat_affine_is_refused(tmp_path: Path, row: list[float]) -> None:
    path = edit(saved(tmp_path / "a.nii", hu().T), srow_x=row, qform_code=0)
    refused(path, "zero, NaN or flat")


def test_a_broken_sform_gives_way_to_the_qform_with_a_note(tmp_path: Path) -> None:
    image = nib.Nifti1Image(hu().T, RAS)
    image.set_qform(RAS, code=1)
    image.set_sform(RAS, code=1)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    whole = read_nifti(path)
    grid = read_nifti(edit(path, srow_x=[0, 0, 0, 0]))
    assert np.allclose(grid.world_from_voxel, whole.world_from_voxel, atol=1e-4)
    assert "the sform is zero, NaN or flat; the qform was used" in grid.source.notes


def test_a_disagreement_of_the_two_forms_is_noted(tmp_path: Path) -> None:
    image = nib.Nifti1Image(hu().T, RAS)
    image.set_sform(RAS, code=1)
    image.set_qform(np.diag([1.5, -1.25, 2.0, 1.0]), code=1)
    nib.save(image, tmp_path / "a.nii")
    grid = read_nifti(tmp_path / "a.nii")
    assert np.allclose(grid.world_from_voxel[0], [1.5, 0, 0, -40])
    assert "disagree by up to" in " ".join(grid.source.notes)


def test_no_orientation_at_all_is_noted(tmp_path: Path) -> None:
    path = edit(saved(tmp_path / "a.nii", hu().T), sform_code=0, qform_code=0)
    grid = read_nifti(path)
    assert np.allclose(np.diag(grid.world_from_voxel), [-1.5, -1.25, 2.0, 1.0])
    assert "left and right are not certain" in " ".join(grid.source.notes)


@pytest.mark.parametrize(("unit", "to_mm", "word"), [(1, 1000.0, "metres"), (3, 0.001, "micrometres")])
def test_other_units_are_converted_with_a_note(tmp_path: Path, unit: int, to_mm: float, word: str) -> None:
    affine = np.diag([1 / to_mm, 1 / to_mm, 2 / to_mm, 1.0])
    grid = read_nifti(edit(saved(tmp_path / "a.nii", hu().T, affine), xyzt_units=unit))
    assert np.allclose(np.diag(grid.world_from_voxel), [-1, -1, 2, 1], rtol=1e-5)
    assert any(word in note for note in grid.source.notes)


def test_a_spacing_that_is_no_ct_s_is_noted(tmp_path: Path) -> None:
    grid = read_nifti(saved(tmp_path / "a.nii", hu().T, np.diag([0.001, 0.001, 0.001, 1])))
    assert "check the header's unit" in " ".join(grid.source.notes)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("keep", [0.98, 0.5])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (16, 16, 16)).astype(np.int16)
    path = saved(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    refused(path, "a.nii")


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (16, 16, 16)).astype(np.int16)
    path = saved(tmp_path / "a.nii.gz", noise)
    data = bytearray(path.read_bytes())
    data[5000:5040] = bytes(40)
    path.write_bytes(bytes(data))
    refused(path, "a.nii.gz")


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", hu().T)
    path.write_bytes(path.read_bytes()[:200])
    refused(path)


def test_complex_and_colour_are_refused(tmp_path: Path) -> None:
    refused(saved(tmp_path / "a.nii", hu().T.astype(np.complex64)), "colour or complex")
    rgb = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(saved(tmp_path / "b.nii", rgb), "colour or complex")


def test_the_header_of_a_pair_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(hu().T, RAS), tmp_path / "a.hdr")
    refused(tmp_path / "a.hdr", "two-file NIfTI")


def test_a_grid_of_absurd_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = edit(saved(tmp_path / "a.nii", hu().T), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "claims 30000 x 30000 x 30000")
    refused(path.with_suffix(".nii.gz"), "claims 30000 x 30000 x 30000")


def test_an_unknown_datatype_is_refused(tmp_path: Path) -> None:
    refused(edit(saved(tmp_path / "a.nii", hu().T), datatype=9999), "a.nii")
