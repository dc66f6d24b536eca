"""Virtual full-spine films beside real ones: grey, gradients, spectrum, and how well classifiers tell them apart.

    python benchmarks/films.py FOLDER [--virtual 36] [--seed 7] [--cache out/films] [--sheet FILE]

FOLDER holds the real films, images/ and annotations.csv with the corners of T1 to L5 (AASCE 2019). They are read, never copied.
Virtual patients are made at 1.5 mm, 6 s each on a quiet core, and kept under --cache: a run that was stopped goes on where it
was. The classifiers then take a minute. Writes its rows into benchmarks/validation.csv; --sheet draws 20 of each side by side.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cohort_rows import Array, Row, keep
from film_classifier import GROUPS, Groups, accuracy_row, features, logistic_scores, net_scores, patches, whole
from film_statistics import comparison, gradients, greys, slope, spectrum
from film_store import ROWS, Exposed, Film, cache_folder, real_films, virtual_film, virtual_patients
from PIL import Image

from spondyl.sim.film import FilmLook
from spondyl.sim.seeds import generator_of

SHOWN = 20


def made_films(exposed: Sequence[Exposed], real: Sequence[Film], seed: int, *, varied: bool) -> list[Film]:
    """One film a virtual patient, framed as some real film is: plain display, or letters, joins and another workstation each."""
    out = []
    for k, e in enumerate(exposed):
        pick = int(torch.randint(len(real), (1,), generator=generator_of(seed, k, "margins")))
        look = FilmLook().randomised(generator=generator_of(seed, k, "look")) if varied else FilmLook()
        out.append(virtual_film(e, look, real[pick].margins, seed, bare=not varied))
    return out


def rows_of(real: Sequence[Film], made: Sequence[Film], name: str, seed: int) -> list[Row]:
    """Distances and accuracies of one set of virtual films."""
    rows = [
        comparison(f"{name}: grey percentiles, mean difference (grey 0 to 1)", greys, real, made),
        comparison(f"{name}: gradient percentiles, mean difference (grey a pixel)", gradients, real, made),
        comparison(f"{name}: log of the radial spectrum, mean difference", spectrum, real, made),
        comparison(f"{name}: slope of the spectrum, difference", slope, real, made),
    ]
    both, y = [*real, *made], np.array([1.0] * len(real) + [0.0] * len(made))
    return rows + told_apart(f"{name}: real or virtual", both, y, GROUPS, seed)


def told_apart(name: str, films: Sequence[Film], y: Array, groups: Groups, seed: int) -> list[Row]:
    """Accuracies of the classifiers on films of two kinds, 1 and 0."""
    rows = []
    for group, parts in groups.items():
        scores = logistic_scores(features(films, parts), y, seed)
        rows.append(accuracy_row(f"{name}, logistic regression on {group}, balanced accuracy", scores, y))
    scores = net_scores([whole(f) for f in films], y, seed)
    rows.append(accuracy_row(f"{name}, small net on whole films of 64 x 160", scores, y))
    scores = net_scores([patches(f) for f in films], y, seed, epochs=5)
    return [*rows, accuracy_row(f"{name}, small net on patches without their mean", scores, y)]


def control_rows(real: Sequence[Film], seed: int) -> list[Row]:
    """The same classifiers on real films in two random halves: what guessing looks like."""
    order = np.random.default_rng(seed).permutation(len(real))
    y = (order < len(real) / 2).astype(np.float64)
    return told_apart("control: real films in random halves", real, y, {"all three": GROUPS["all three"]}, seed)


def sheet(real: Sequence[Film], made: Sequence[Film], path: Path) -> None:
    """Twenty real films above twenty virtual ones, all ROWS high."""
    width = 150
    page = np.zeros((4 * ROWS, SHOWN // 2 * width), dtype=np.float32)
    shown = [real[round(k * (len(real) - 1) / (SHOWN - 1))] for k in range(SHOWN)] + list(made[:SHOWN])
    for k, film in enumerate(shown):
        v, u = k // (SHOWN // 2) * ROWS, k % (SHOWN // 2) * width
        part = film.grey[:, : width - 4]
        page[v : v + ROWS, u : u + part.shape[1]] = part
    Image.fromarray((page * 255).astype(np.uint8)).save(path)


def main() -> None:
    """Read, make, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--virtual", type=int, default=36)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=Path("out/films"))
    parser.add_argument("--made", type=Path, help="films made before, whatever the patient's code is now")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a net that has learnt all drives its moments there, and the processor crawls
    began, real, exposed = time.time(), real_films(args.folder), []
    for e in virtual_patients(args.virtual, args.seed, args.made or cache_folder(args.cache)):
        exposed.append(e)
        print(f"{e.name} of {args.virtual}, {time.time() - began:.0f} s", flush=True)
    rows: list[Row] = []
    for name, varied in (("plain display", False), ("varied films", True)):
        made = made_films(exposed, real, args.seed, varied=varied)
        if args.sheet is not None:
            sheet(real, made, args.sheet.with_stem(args.sheet.stem + ("_varied" if varied else "")))
        rows += rows_of(real, made, name, args.seed)
        print(f"{name}, {time.time() - began:.0f} s", flush=True)
    rows += control_rows(real, args.seed)
    for r in rows:
        print(
            f"{r.what}: {r.value:.3g} ({r.interval[0]:.3g} to {r.interval[1]:.3g}), wanted {r.low:g} to {r.high:g}; {r.note}"
        )
    keep("films", rows, args.seed)


if __name__ == "__main__":
    main()
