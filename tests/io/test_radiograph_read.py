"""Whatever bytes come, the reader gives a film or one sentence; a seeded storm of damaged files."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from dx_files import dx, ramp, saved, table, view_code
from PIL import Image

from spondyl.io.radiograph_read import Film, read_radiograph

HEADER_BYTES = 1400


def whole_files(folder: Path) -> dict[str, bytes]:
    """One good file of each kind."""
    ds = dx(
        ramp(),
        WindowCenter=1000,
        WindowWidth=500,
        PixelSpacing=[0.1, 0.1],
        NumberOfFrames=1,
        PatientOrientation=["L", "F"],
        VOILUTSequence=[table([1, 2, 3], first=0, bits=8)],
        ViewCodeSequence=[view_code("272479007")],
    )
    files = {"DICOM": saved(ds, folder).read_bytes()}
    for kind, pixels in (("PNG", ramp(16)), ("TIFF", ramp(16)), ("JPEG", ramp(8).astype(np.uint8))):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, dpi=(100, 100))
        files[kind] = buffer.getvalue()
    return files


@pytest.mark.parametrize("kind", ["DICOM", "PNG", "TIFF", "JPEG"])
def test_a_damaged_file_gives_a_film_or_one_sentence_and_no_warning(tmp_path: Path, kind: str) -> None:
    good, path = whole_files(tmp_path)[kind], tmp_path / "x"
    generator = np.random.default_rng(7)
    sentences: list[str] = []
    for _ in range(200):
        bad = bytearray(good)
        for place in generator.integers(0, min(len(bad), HEADER_BYTES), generator.integers(1, 4)):
            bad[place] = generator.integers(0, 256)
        if generator.random() < 0.1:
            bad = bad[: generator.integers(1, len(bad))]
        path.write_bytes(bad)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                assert isinstance(read_radiograph(path)[0], Film)
            except ValueError as error:
                sentences.append(str(error))
    assert 10 < len(sentences) < 200
    assert [text for text in sentences if not text.isprintable() or len(text) > 300] == []
