"""Ultrasound and photographs as PNG: they come back as they were, marked synthetic; half a pair is one line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from spondyl.images import BackImage, Ultrasound
from spondyl.io.back_png import depth_path, read_back_png, read_ultrasound_png, write_back_png, write_ultrasound_png


def echo(*, placed: bool = True) -> Ultrasound:
    place = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1))).Q if placed else None
    return Ultrasound(torch.rand(9, 7, generator=torch.Generator().manual_seed(0)), (0.5, 0.25), place)


def photograph() -> BackImage:
    generator = torch.Generator().manual_seed(2)
    depth = 1400 + 200 * torch.rand(6, 8, generator=generator)
    depth[0, 0], depth[0, 1] = 0.0, torch.nan
    camera = torch.tensor([[500.0, 0, 4], [0, 500.0, 3], [0, 0, 1]])
    return BackImage(torch.rand(3, 6, 8, generator=generator), depth, camera, torch.eye(4))


@pytest.mark.parametrize("placed", [True, False])
def test_an_ultrasound_image_comes_back(tmp_path: Path, placed: bool) -> None:
    image = echo(placed=placed)
    assert write_ultrasound_png(image, tmp_path / "vpi.png") == ["vpi.png", "vpi.json"]
    back = read_ultrasound_png(tmp_path / "vpi.png")
    assert float((back.echo - image.echo).abs().max()) <= 1 / 510 + 1e-6
    assert back.pixel_spacing_mm == (0.5, 0.25)
    if image.world_from_pixel is None:
        assert back.world_from_pixel is None
    else:
        assert back.world_from_pixel is not None
        assert torch.equal(back.world_from_pixel, image.world_from_pixel)


def test_a_photograph_comes_back_and_what_was_not_seen_stays_unseen(tmp_path: Path) -> None:
    image = photograph()
    names = write_back_png(image, tmp_path / "back.png")
    assert names == ["back.png", "back.json", "back_depth.png", "back_depth.json"]
    back = read_back_png(tmp_path / "back.png")
    assert float((back.rgb - image.rgb).abs().max()) <= 1 / 510 + 1e-6
    assert float((back.depth_mm - image.depth_mm.nan_to_num()).abs().max()) <= 0.0501
    assert back.depth_mm[0, :2].tolist() == [0.0, 0.0]
    assert torch.equal(back.intrinsics, image.intrinsics)
    assert torch.equal(back.world_from_camera, image.world_from_camera)


def test_every_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    write_back_png(photograph(), tmp_path / "back.png")
    write_ultrasound_png(echo(), tmp_path / "vpi.png")
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.info["spondyl"] == "synthetic"
    assert all(json.loads(path.read_text())["synthetic"] is True for path in tmp_path.glob("*.json"))


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_back_png(photograph(), tmp_path / name / "x.png")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_half_a_pair_or_another_picture_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "back.png"
    write_back_png(photograph(), path)
    Image.new("I;16", (3, 3)).save(depth_path(path))
    with pytest.raises(ValueError, match="one was changed alone"):
        read_back_png(path)
    with pytest.raises(ValueError, match="is not an ultrasound image of spondyl"):
        read_ultrasound_png(path)
    path.with_suffix(".json").write_text("{}")
    Image.fromarray(torch.zeros(6, 8, dtype=torch.uint8).numpy()).save(path)
    with pytest.raises(ValueError, match="is not an ultrasound image"):
        read_ultrasound_png(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"has no back\.json beside it"):
        read_back_png(path)


def test_a_matrix_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "back.png"
    write_back_png(photograph(), path)
    meta = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**meta, "intrinsics": [[1, 2], [3, 4]]}))
    with pytest.raises(ValueError, match="lacks a 3 x 3 matrix"):
        read_back_png(path)


def test_a_depth_that_does_not_fit_is_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    far = photograph()
    far.depth_mm[2, 2] = 7000.0
    with pytest.raises(ValueError, match=r"depth runs to 7000 mm; wanted 0 to 6553 mm"):
        write_back_png(far, tmp_path / "back.png")
    assert list(tmp_path.iterdir()) == []
