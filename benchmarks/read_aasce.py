"""The reader on the annotated films of the AASCE challenge, none of which it has seen: one JSON line a film, for `read_rows.py`.

    python benchmarks/read_aasce.py FOLDER OUT.jsonl [--weights DIR] [--every N]

Films are read as `spondyl measure` reads them, its guard included; a film that it refuses counts as not read. The angles are the
challenge's own (`measure.aasce`), from T1 to L5 as far as they were found.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from spondyl.io.aasce import read_aasce
from spondyl.measure.aasce import aasce_angles
from spondyl.pipeline.film_reader import load_reader
from spondyl.pipeline.film_reading import read_film
from spondyl.spine import Corners


def thoracolumbar(corners: Corners) -> Corners:
    """T1 to L5 alone: what the challenge annotates."""
    rows = [i for i, level in enumerate(corners.levels) if level[0] in "TL"]
    spread = None if corners.spread_px is None else corners.spread_px[rows]
    return replace(
        corners,
        levels=tuple(corners.levels[i] for i in rows),
        corners_px=corners.corners_px[rows],
        confidence=corners.confidence[rows],
        spread_px=spread,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the films."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    reader = load_reader(asked.weights)
    with asked.out.open("w", encoding="utf-8") as out:
        for film in read_aasce(asked.folder)[:: asked.every]:
            begun = time.perf_counter()
            reading = read_film(film.path, reader)
            line: dict[str, object] = {"image": film.path.name, "truth": list(film.angles_deg), "read": None}
            line |= {"verdict": reading.record.verdict, "reasons": list(reading.record.reasons)}
            line |= {"total": reading.record.total, "score": reading.record.score, "lateral": reading.record.lateral}
            if reading.corners is not None:
                corners = thoracolumbar(reading.corners)
                angles = aasce_angles(corners, rows_px=film.shape_px[0])
                if angles is not None:
                    line["read"] = [angles.main_deg, angles.upper_deg, angles.lower_deg]
                line["levels"] = list(corners.levels)
            line["seconds"] = time.perf_counter() - begun
            out.write(json.dumps(line) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
