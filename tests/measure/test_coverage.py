"""What cannot be read is left out, what is odd is kept and said, and nothing is made up."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_phantom import Bone, bent_spine, grid_over, phantom, rasterise

from spondyl.images import Volume
from spondyl.measure.curve import curve_from_labels
from spondyl.spine import LEVEL_LABELS

LEVELS = ("T10", "T11", "T12")


def spine(levels: tuple[str, ...] = LEVELS) -> list[Bone]:
    tilts = {f"{levels[0]} superior": 9.0, f"{levels[-1]} inferior": -7.0}
    return bent_spine(tilts, levels=levels, kyphosis_deg=12.0, lordosis_deg=-8.0)


def height_mm(volume: Volume) -> torch.Tensor:
    """World z of every voxel of a grid along the world's axes."""
    z = torch.arange(volume.hu.shape[0]) * volume.world_from_voxel[2, 2] + volume.world_from_voxel[2, 3]
    return z[:, None, None].expand(volume.hu.shape)


def cropped(bones: list[Bone], low_mm: float, high_mm: float) -> Volume:
    """The scan of the bones with its field cut to a slab of the world."""
    whole = phantom(bones)
    assert whole.labels is not None
    z = height_mm(whole)[:, 0, 0]
    rows = torch.nonzero((z >= low_mm) & (z <= high_mm)).flatten()
    first, last = int(rows[0]), int(rows[-1]) + 1
    affine = whole.world_from_voxel.clone()
    affine[2, 3] += first * affine[2, 2]
    return Volume(whole.hu[first:last], affine, whole.labels[first:last])


def test_a_vertebra_cut_by_the_edge_of_the_scan_is_left_out_and_named() -> None:
    bones = spine()
    reading = curve_from_labels(cropped(bones, bones[-1].centre[2], bones[0].centre[2] + 30))
    assert reading.spine.levels == ("T10", "T11")
    assert any(n.startswith("T12 is cut by the edge of the scan") and n.endswith("left out.") for n in reading.notes)


def test_a_vertebra_cut_from_the_side_is_left_out() -> None:
    bones = spine()
    affine, size = grid_over(bones)
    left = float(np.mean([b.centre[0] for b in bones]))
    width = int(left - affine[0, 3])  # half of every body
    with pytest.raises(ValueError, match=r"T10 is cut by the edge of the scan \(its body reaches out of it\)"):
        curve_from_labels(rasterise(bones, affine, (width, size[1], size[2])))


def test_cut_processes_are_said_and_do_no_harm() -> None:
    bones = spine(("T10", "T11"))
    affine, size = grid_over(bones)
    back = max(b.centre[1] + b.half[1] for b in bones) + 27  # behind the canal, in front of the spinous tips
    reading = curve_from_labels(rasterise(bones, affine, (size[0], int(back - affine[1, 3]), size[2])))
    whole = curve_from_labels(rasterise(bones, affine, size))
    assert reading.spine.levels == ("T10", "T11")
    assert "T10 touches the edge of the scan with its processes; both endplates are inside." in reading.notes
    torch.testing.assert_close(reading.spine.centres_mm, whole.spine.centres_mm, atol=0.3, rtol=0)


def test_a_label_that_was_cropped_inside_the_scan_is_left_out() -> None:
    bones = spine()
    volume = phantom(bones)
    assert volume.labels is not None
    half = volume.labels.clone()
    half[(half == LEVEL_LABELS["T10"]) & (height_mm(volume) > bones[0].centre[2] + 1.0)] = 0
    reading = curve_from_labels(replace(volume, labels=half))
    assert reading.spine.levels == ("T11", "T12")
    assert any(n.startswith("T10 ends flat at") for n in reading.notes)


def test_a_collapsed_vertebra_is_kept_and_said() -> None:
    bones = spine()
    b = bones[1]
    slopes = b.slopes + np.array([[0.0, 0.22], [0.0, -0.22]])  # the front half as high as the back
    bones[1] = Bone(b.level, b.centre, b.axes, b.half, slopes)
    reading = curve_from_labels(phantom(bones))
    assert reading.spine.levels == LEVELS
    assert [n for n in reading.notes if n.startswith("T11 may be collapsed")]
    assert float(reading.quality[1]) < float(reading.quality[[0, 2]].min())


def test_strays_are_dropped_and_said() -> None:
    bones = spine(("T10", "T11"))
    volume = phantom(bones)
    assert volume.labels is not None
    spotted = volume.labels.clone()
    spotted[4:11, 4:11, 4:11] = LEVEL_LABELS["T10"]
    clean, reading = curve_from_labels(volume), curve_from_labels(replace(volume, labels=spotted))
    assert torch.equal(clean.spine.endplates_mm, reading.spine.endplates_mm)
    assert any("of the label of T10 lie apart" in n for n in reading.notes)


def test_a_schmorl_node_and_an_osteophyte_do_not_turn_the_endplate() -> None:
    bones = spine(("T10", "T11"))
    volume = phantom(bones)
    assert volume.labels is not None
    marred = volume.labels.clone()
    b, inverse = bones[0], np.linalg.inv(volume.world_from_voxel.numpy())
    for x, value in ((7.0, 0), (-9.0, LEVEL_LABELS["T10"])):
        at = b.centre + b.axes @ np.array([x, 2.0, b.half[2]])
        i, j, k = np.round(inverse[:3, :3] @ at + inverse[:3, 3]).astype(int)
        marred[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] = value
    clean, reading = curve_from_labels(volume), curve_from_labels(replace(volume, labels=marred))
    cosine = (clean.spine.endplate_normals()[0, 0] * reading.spine.endplate_normals()[0, 0]).sum()
    assert float(torch.rad2deg(torch.arccos(cosine.clamp(max=1)))) < 1.5


def test_a_file_turned_about_the_long_axis_is_read_and_doubted() -> None:
    bones = spine()
    volume = phantom(bones)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.world_from_voxel.numpy()
    reading = curve_from_labels(replace(volume, world_from_voxel=torch.tensor(turned)))
    assert reading.spine.levels == LEVELS
    assert "The arches do not lie behind the bodies" in reading.notes[0]
    expected = torch.tensor(np.stack([b.centre for b in bones])).float() * torch.tensor([-1.0, -1.0, 1.0])
    torch.testing.assert_close(reading.spine.centres_mm, expected, atol=0.5, rtol=0)


def test_a_file_upside_down_is_doubted() -> None:
    volume = phantom(spine())
    turned = np.diag([-1.0, 1.0, -1.0, 1.0]) @ volume.world_from_voxel.numpy()
    reading = curve_from_labels(replace(volume, world_from_voxel=torch.tensor(turned)))
    assert "upside down" in reading.notes[0]


def test_c1_and_c2_have_no_pair_of_endplates() -> None:
    bones = spine(("T10", "T11"))
    volume = phantom(bones)
    assert volume.labels is not None
    renamed = torch.where(volume.labels == LEVEL_LABELS["T10"], LEVEL_LABELS["C2"], volume.labels.long())
    reading = curve_from_labels(replace(volume, labels=renamed))
    assert reading.spine.levels == ("T11",)
    assert reading.notes[0] == "C2 has no body between two endplates; it is left out."


def test_one_vertebra_alone_is_read() -> None:
    bones = spine(("T10", "T11"))
    reading = curve_from_labels(phantom(bones[:1]))
    assert reading.spine.levels == ("T10",)
    assert float((reading.spine.centres_mm[0] - torch.tensor(bones[0].centre)).abs().max()) < 0.5


def test_a_missing_level_leaves_a_gap_and_no_guess() -> None:
    bones = spine()
    reading = curve_from_labels(phantom([bones[0], bones[2]]))
    assert reading.spine.levels == ("T10", "T12")


def test_a_sacrum_without_a_lumbar_body_is_left_out() -> None:
    bones = bent_spine({"L4 superior": 0}, levels=("L4", "L5"), sacral_slope_deg=35.0)
    with pytest.raises(ValueError, match="sacrum's endplate was not found"):
        curve_from_labels(phantom(bones[-1:]))


def test_a_few_voxels_are_no_vertebra() -> None:
    labels = torch.zeros(20, 20, 20, dtype=torch.int64)
    labels[8:10, 8:10, 8:10] = LEVEL_LABELS["T5"]
    with pytest.raises(ValueError, match=r"No body was found in the label of T5 \(8 voxels\)"):
        curve_from_labels(Volume(torch.zeros(20, 20, 20), torch.eye(4), labels))


def test_a_volume_without_vertebrae_is_refused_in_one_line() -> None:
    hu, affine = torch.zeros(4, 4, 4), torch.eye(4)
    with pytest.raises(ValueError, match="the volume has no labels"):
        curve_from_labels(Volume(hu, affine))
    with pytest.raises(ValueError, match="labels hold no vertebra"):
        curve_from_labels(Volume(hu, affine, torch.full((4, 4, 4), 31)))
    with pytest.raises(ValueError, match="labels hold no vertebra"):
        curve_from_labels(Volume(hu, affine, torch.full((4, 4, 4), -1)))
