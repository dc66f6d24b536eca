"""What the input guard of `spondyl measure` says to films and to pictures that are none.

    python benchmarks/guard_cases.py --cohort DIR [--weights DIR] [--data DIR ...] [-n 8] [--seed 0]

--cohort: made by `spondyl simulate` with pa and lateral (or their layers); its films are shown as several hospitals would.
--data: folders of real films. A row each: how many were refused, flagged, accepted, then median and range (5 to 95 %) of the
score and the evidence, from which the thresholds in pipeline/film_guard.py are chosen; last the commonest reason. A right
guard refuses all of the first block and nothing of the second.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from spondyl.images import Layers, Radiograph
from spondyl.io.shards import Cohort
from spondyl.pipeline.film_reader import Reader, load_reader
from spondyl.pipeline.film_reading import read_film
from spondyl.report.film_record import FilmRecord, FilmView
from spondyl.sim.film import FilmLook

Grey = np.ndarray[tuple[int, int], np.dtype[np.float64]]
SHAPE = (900, 450)
VIEWS: dict[str, FilmView] = {"pa": "pa", "lateral": "lateral"}
TISSUE_PER_MM, BONE_PER_MM = 0.02, 0.05  # optical depth of a hand's parts at 60 keV, water and bone in round numbers


@dataclass(frozen=True)
class Case:
    """One kind of picture: makes one from a random generator; `wanted` is whether the guard shall let it pass."""

    name: str
    make: Callable[[np.random.Generator], Grey]
    wanted: bool
    claim: FilmView | None = None


def blank(random: np.random.Generator) -> Grey:
    """One grey with a sensor's noise."""
    return np.clip(random.uniform(0.1, 0.9) + 0.001 * random.standard_normal(SHAPE), 0, 1)


def noise(random: np.random.Generator) -> Grey:
    """Every pixel for itself."""
    out: Grey = random.uniform(0, 1, SHAPE)
    return out


def fractal(random: np.random.Generator, shape: tuple[int, int] = SHAPE) -> Grey:
    """Amplitudes 1/f with random phases, as photographs have them."""
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None] * shape[0], np.fft.fftfreq(shape[1])[None] * shape[1])
    wave = np.fft.ifft2(np.fft.fft2(random.standard_normal(shape)) / np.maximum(f, 1) ** random.uniform(1.0, 1.6)).real
    out: Grey = np.clip((wave - wave.mean()) / (5 * wave.std()) + 0.5, 0, 1)
    return out


def photo(random: np.random.Generator) -> Grey:
    """A fractal cut by edges of things that hide one another."""
    out = fractal(random)
    for _ in range(12):
        mask = Image.new("L", SHAPE[::-1])
        box = random.uniform(0, 1, 4) * np.array([*SHAPE[::-1], *SHAPE[::-1]])
        low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:]) + 20
        draw = ImageDraw.Draw(mask)
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)([*low, *high], fill=255)
        out = np.where(np.asarray(mask) > 0, np.clip(random.uniform(-0.3, 0.3) + fractal(random), 0, 1), out)
    return out


def cat(random: np.random.Generator) -> Grey:
    """A furry blob with a head, two ears, four legs, a tail and stripes."""
    picture = Image.new("L", SHAPE[::-1], 64)
    draw = ImageDraw.Draw(picture)
    u, v, r = 225 + random.uniform(-40, 40), 330 + random.uniform(-60, 60), random.uniform(70, 110)
    draw.ellipse([u - 1.5 * r, v, u + 1.5 * r, v + 4 * r], fill=153)
    draw.ellipse([u - r, v - 1.3 * r, u + r, v + 0.7 * r], fill=165)
    for side in (-1, 1):
        draw.polygon(
            [(u + side * r, v - r), (u + side * 0.3 * r, v - 1.1 * r), (u + side * 0.8 * r, v - 2 * r)], fill=140
        )
        draw.ellipse([u + side * 0.4 * r - 9, v - 0.5 * r, u + side * 0.4 * r + 9, v - 0.5 * r + 22], fill=242)
        draw.line([(u + side * r, v + 3.4 * r), (u + side * 1.1 * r, v + 5 * r)], fill=153, width=int(0.5 * r))
    for i in range(9):
        draw.line([(u - r, v + (0.8 + 0.3 * i) * r), (u + r, v + (0.7 + 0.3 * i) * r)], fill=107, width=10)
    draw.arc([u + r, v + r, u + 2.4 * r, v + 4 * r], 270, 90, fill=153, width=22)
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(2)), dtype=np.float64) / 255
    return np.clip(soft + 0.25 * (fractal(random) - 0.5), 0, 1)


def hand(random: np.random.Generator) -> Grey:
    """A fan of jointed tubes of bone in tubes of flesh on a palm, as optical depth, shown by a rising curve."""
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64) * 0.3  # mm
    wrist = np.array([0.3 * SHAPE[0] * 0.85, 0.3 * SHAPE[1] / 2])
    depth = TISSUE_PER_MM * 40 * np.exp(-(((v - wrist[0] + 30) / 55) ** 4 + ((u - wrist[1]) / 38) ** 4))
    for finger, angle in enumerate(np.radians([-50, -18, -4, 9, 23]) + random.normal(0, 0.05, 5)):
        way = np.array([-np.cos(angle), np.sin(angle)])
        long = (70, 100, 110, 103, 85)[finger] * 1.5
        for k in range(4):
            start, end = wrist + way * long * (0.1 + 0.24 * k), wrist + way * long * (0.31 + 0.24 * k)
            depth += BONE_PER_MM * _tube(v, u, start, end, 5.5 - 0.6 * k)
        depth += TISSUE_PER_MM * _tube(v, u, wrist, wrist + way * long * 1.08, 9.0)
    shown: Grey = 1 / (1 + np.exp(-4 * (depth - 0.5)))
    return shown


def _tube(v: Grey, u: Grey, start: Grey, end: Grey, radius: float) -> Grey:
    """Path through a round-ended tube that lies in the picture's plane, mm."""
    along = end - start
    t = np.clip(((v - start[0]) * along[0] + (u - start[1]) * along[1]) / (along @ along), 0, 1)
    away = np.hypot(v - start[0] - t * along[0], u - start[1] - t * along[1])
    path: Grey = 2 * np.sqrt(np.clip(radius**2 - away**2, 0, None))
    return path


def text(random: np.random.Generator) -> Grey:
    """A page of words, dark on white."""
    page = Image.new("L", SHAPE[::-1], 245)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    words = ["patient", "spine", "angle", "the", "of", "report", "shows", "left", "curve", "film", "and", "was"]
    for v in range(30, SHAPE[0] - 30, 24):
        draw.text((30, v), " ".join(random.choice(words, 8)), fill=20, font=font)
    return np.asarray(page, dtype=np.float64) / 255


def simulated(cohort: Cohort, view: str) -> Callable[[np.random.Generator], Grey]:
    """Films of the cohort in turn, each shown by another workstation."""
    ids = iter(cohort.ids * 1000)

    def make(random: np.random.Generator) -> Grey:
        case = cohort.case(next(ids))
        name = view if view in case.modalities else f"{view}_layers"
        image = case.image(name)
        if isinstance(image, Layers):
            image = Radiograph(image.optical_depth.sum(0), image.view)
        if not isinstance(image, Radiograph):
            raise ValueError(f"{cohort.folder} holds no {view} radiographs; simulate it with --modalities pa,lateral")
        look = FilmLook().randomised(generator=torch.Generator().manual_seed(int(random.integers(2**31))))
        return look(image).double().numpy()

    return make


def turned(make: Callable[[np.random.Generator], Grey], quarters: int) -> Callable[[np.random.Generator], Grey]:
    """The same pictures turned by quarters."""
    return lambda random: np.ascontiguousarray(np.rot90(make(random), quarters))


def negative(make: Callable[[np.random.Generator], Grey]) -> Callable[[np.random.Generator], Grey]:
    """The same pictures with black and white exchanged."""
    return lambda random: 1 - make(random)


def cases(cohort: Cohort) -> list[Case]:
    """All kinds, those to refuse first."""
    pa, lateral = simulated(cohort, "pa"), simulated(cohort, "lateral")
    return [
        *(Case(f.__name__, f, wanted=False) for f in (blank, noise, fractal, photo, cat, hand, text)),
        Case("lateral said to be pa", lateral, wanted=False, claim="pa"),
        Case("pa said to be lateral", pa, wanted=False, claim="lateral"),
        *(Case(f"pa turned by {90 * k}", turned(pa, k), wanted=False) for k in (1, 2, 3)),
        *(Case(f"lateral turned by {90 * k}", turned(lateral, k), wanted=False) for k in (1, 2)),
        Case("simulated pa", pa, wanted=True),
        Case("simulated lateral", lateral, wanted=True),
        Case("negative of pa", negative(pa), wanted=True),
    ]


def records(case: Case, reader: Reader, n: int, seed: int) -> Iterator[FilmRecord]:
    """The records of n pictures of a kind, each taken the whole way of a user's file."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n):
            path = Path(folder) / f"{i}.png"
            Image.fromarray((case.make(random) * 65535).round().astype(np.uint16)).save(path)
            yield read_film(path, reader, view=case.claim).record


def real(folder: Path, reader: Reader, n: int) -> Iterator[FilmRecord]:
    """The records of the first n films of a folder."""
    found = (
        path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".dcm", ".tif")
    )
    for _, path in zip(range(n), found, strict=False):
        try:
            yield read_film(path, reader).record
        except ValueError as error:
            sys.stderr.write(f"{path.name}: {error}\n")


def line(name: str, wanted: str, found: list[FilmRecord]) -> str:
    """One row of the table."""
    verdicts = Counter(r.verdict for r in found)
    reason = Counter(r.reasons[0] if r.reasons else "" for r in found).most_common(1)
    counts = " | ".join(str(verdicts[v]) for v in ("refused", "flagged", "accepted"))
    spread = " | ".join(_spread([x for x in values if x is not None]) for values in (
        [r.score for r in found], [r.total for r in found], [r.level_sure for r in found], [r.lateral for r in found]
    ))  # fmt: skip
    return f"| {name} | {wanted} | {len(found)} | {counts} | {spread} | {reason[0][0] if reason else ''} |"


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    low, middle, high = np.percentile(values, [5, 50, 95])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="kinds whose names hold this text")
    asked = parser.parse_args()
    reader = load_reader(asked.weights)
    print(
        "| pictures | wanted | n | refused | flagged | accepted | score | evidence | levels | lateral | commonest reason |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for case in cases(Cohort(asked.cohort)):
        if asked.only is None or asked.only in case.name:
            found = list(records(case, reader, asked.n, asked.seed))
            print(line(case.name, "pass" if case.wanted else "refuse", found), flush=True)
    for folder in asked.data:
        if asked.only is None or asked.only in folder.name:
            print(line(f"real: {folder.name}", "pass", list(real(folder, reader, asked.n))), flush=True)


if __name__ == "__main__":
    main()
