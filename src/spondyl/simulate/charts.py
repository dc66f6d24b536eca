"""Distributions as inline SVG: a histogram of numbers, bars of words. No script, no font, no colour of their own."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN, FOOT, WIDEST = 240.0, 110.0, 14.0, 16.0, 40.0
MOST_BINS = 16
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Chart:
    """One distribution: its name with unit, a line of numbers, and the picture."""

    title: str
    summary: str
    svg: str


def histogram(title: str, values: Sequence[float]) -> Chart:
    """The distribution of numbers in equal bins that begin at round numbers; counts are written on the bars."""
    if not values:
        return Chart(title, "none", "")
    ranked = sorted(values)
    step = _step(ranked[0], ranked[-1])
    first = math.floor(ranked[0] / step)
    counts = Counter(math.floor(value / step) - first for value in values)
    bins = max(counts) + 1
    wide = (WIDTH - 2 * MARGIN) / bins
    tall = max(counts.values())
    parts = [_bar(MARGIN + i * wide, wide, n / tall, f"{_round((first + i) * step)} to {_round((first + i + 1) * step)}: {n}")
             for i, n in sorted(counts.items())]  # fmt: skip
    every = max(1, math.ceil(bins / 5))
    parts += [_label(MARGIN + i * wide, _round((first + i) * step)) for i in range(0, bins + 1, every)]
    middle = ranked[len(ranked) // 2] if len(ranked) % 2 else sum(ranked[len(ranked) // 2 - 1 :][:2]) / 2
    summary = f"n {len(ranked)}, median {middle:.1f}, {ranked[0]:.1f} to {ranked[-1]:.1f}"
    return Chart(title, summary, _svg(title, parts))


def bars(title: str, words: Sequence[str], order: Sequence[str] = ()) -> Chart:
    """How often each word comes, in the order given, then by the alphabet."""
    if not words:
        return Chart(title, "none", "")
    counts = Counter(words)
    names = [w for w in order if w in counts] + sorted(set(counts) - set(order))
    wide = min((WIDTH - 2 * MARGIN) / len(names), WIDEST)
    tall = max(counts.values())
    parts = [
        _bar(MARGIN + i * wide, wide, counts[name] / tall, f"{name}: {counts[name]}") for i, name in enumerate(names)
    ]
    every = max(1, math.ceil(len(names) / 9))
    parts += [_label(MARGIN + (i + 0.5) * wide, names[i]) for i in range(0, len(names), every)]
    return Chart(title, f"n {len(words)}", _svg(title, parts))


def _step(low: float, high: float) -> float:
    """A round bin width that makes at most MOST_BINS bins."""
    rough = max(high - low, 1e-6) / (MOST_BINS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(s * power for s in STEPS if s * power >= rough * 0.999)


def _bar(x: float, wide: float, share: float, words: str) -> str:
    height = share * (HEIGHT - FOOT - 4)
    y = HEIGHT - FOOT - height
    shape = f'x="{x + 0.5:.2f}" y="{y:.2f}" width="{max(wide - 1, 0.5):.2f}" height="{height:.2f}"'
    return f"<rect {shape}><title>{escape(words)}</title></rect>"


def _label(x: float, words: str) -> str:
    return f'<text x="{x:.2f}" y="{HEIGHT - 4:.1f}" text-anchor="middle">{escape(words)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    line = f'<path d="M0 {HEIGHT - FOOT:.1f}H{WIDTH:.0f}"/>'
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}"'
    return f'<svg class="chart" {box}>{"".join(parts)}{line}</svg>'


def _round(value: float) -> str:
    return f"{value:.6g}"
