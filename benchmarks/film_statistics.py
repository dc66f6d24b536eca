"""What films are compared by: grey, gradients, spectrum; and the distance of two sets with the yardstick of one set's halves."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from cohort_rows import DRAWS, Array, Row
from film_store import Film, Grey

PERCENTILES = np.arange(1.0, 100.0, 2.0)
BANDS = 24  # of the radial spectrum, from 2 / SIDE to 0.5 cycles a pixel, evenly in the logarithm
SLOPE_BAND = (0.02, 0.25)  # cycles a pixel: structures of 7 to 85 mm; finer ones are the voxels' and the JPEG's
SIDE = 96  # columns of the strip whose spectrum is taken


def greys(grey: Grey) -> Array:
    """Percentile curve of the grey."""
    return np.asarray(np.percentile(grey, PERCENTILES))


def gradients(grey: Grey) -> Array:
    """Percentile curve of the gradient's magnitude, grey a pixel, central differences."""
    v, u = np.gradient(grey.astype(np.float64))
    return np.asarray(np.percentile(np.hypot(v, u), PERCENTILES))


def spectrum(grey: Grey) -> Array:
    """Logarithm of the radially averaged power in BANDS, of the middle strip under a Hann window, its mean taken away."""
    strip = middle_strip(grey, SIDE).astype(np.float64)
    h, w = strip.shape
    window = np.hanning(h)[:, None] * np.hanning(w)
    power = np.abs(np.fft.fft2((strip - (strip * window).sum() / window.sum()) * window)) ** 2 / (window**2).sum()
    f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    edges = band_edges()
    band = np.digitize(f.ravel(), edges) - 1
    inside = (band >= 0) & (band < BANDS)
    total = np.bincount(band[inside], power.ravel()[inside], BANDS)
    count = np.bincount(band[inside], minlength=BANDS)
    return np.asarray(np.log(total / np.maximum(count, 1) + 1e-12))


def band_edges() -> Array:
    """Edges of the spectrum's bands, cycles a pixel."""
    return np.geomspace(2.0 / SIDE, 0.5, BANDS + 1)


def slope(grey: Grey) -> Array:
    """Exponent of the power spectrum, power ~ f^slope, over SLOPE_BAND; as an array of one."""
    edges = band_edges()
    middle = np.sqrt(edges[:-1] * edges[1:])
    use = (middle >= SLOPE_BAND[0]) & (middle <= SLOPE_BAND[1])
    return np.array([np.polyfit(np.log(middle[use]), spectrum(grey)[use], 1)[0]])


def middle_strip(grey: Grey, columns: int) -> Grey:
    """The middle columns; where the film is narrower, its edge columns are repeated."""
    have = grey.shape[1]
    if have < columns:
        before = (columns - have) // 2
        return np.pad(grey, ((0, 0), (before, columns - have - before)), mode="edge")
    first = (have - columns) // 2
    return grey[:, first : first + columns]


def distance(a: Array, b: Array) -> float:
    """Mean absolute difference of two sets' mean curves."""
    return float(np.abs(a.mean(0) - b.mean(0)).mean())


def halves(curves: Array, rng: np.random.Generator, draws: int = 400) -> Array:
    """Distances of random halves of one set: what two samples of the same films differ by."""
    out = []
    for _ in range(draws):
        order = rng.permutation(len(curves))
        out.append(distance(curves[order[: len(order) // 2]], curves[order[len(order) // 2 :]]))
    return np.array(out)


def comparison(what: str, of: Callable[[Grey], Array], real: Sequence[Film], made: Sequence[Film]) -> Row:
    """A row: distance of virtual from real films, wanted below what 97.5 % of the real films' halves differ by."""
    a, b = (np.array([of(f.grey) for f in films]) for films in (real, made))
    rng = np.random.default_rng(0)
    yard = halves(a, rng)
    draws = [distance(a[rng.integers(0, len(a), len(a))], b[rng.integers(0, len(b), len(b))]) for _ in range(DRAWS)]
    interval = float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5))
    top = float(np.percentile(yard, 97.5))
    note = f"halves of the real films: {yard.mean():.3g}; mean of real {a.mean():.3g}, of virtual {b.mean():.3g}"
    high = float(f"{top:.3g}") if math.isfinite(top) else 0.0
    return Row("films", what, 0.0, high, distance(a, b), interval, len(b), note)
