"""Curves over steps as inline SVG: one panel, some lines, axes with round numbers. No script and no font of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

WIDTH, HEIGHT = 520.0, 240.0
LEFT, RIGHT, TOP, FOOT = 58.0, 18.0, 10.0, 26.0
MOST_POINTS = 300
ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One curve: its name, its points (step, value), the number of its colour, and whether it is of held-out cases."""

    name: str
    points: Points
    colour: int = 0
    held_out: bool = False


@dataclass(frozen=True)
class Panel:
    """A drawn panel and its key: (name, number of the colour, held out) of every line."""

    title: str
    svg: str
    key: tuple[tuple[str, int, bool], ...]


def panel(title: str, lines: Sequence[Line], *, log: bool = False) -> Panel:
    """Lines over one axis of steps. `log`: the values' logarithm, where all of them are positive."""
    shown = [replace(line, points=thinned(line.points)) for line in lines if line.points]
    values = [v for line in shown for _, v in line.points if math.isfinite(v)]
    if not values:
        return Panel(title, "", ())
    log = log and min(values) > 0 and max(values) / min(values) > 5
    ticks = _log_ticks(min(values), max(values)) if log else _ticks(min(values), max(values))
    low, high, last = ticks[0], ticks[-1], max(s for line in shown for s, _ in line.points) or 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        return HEIGHT - FOOT - (HEIGHT - FOOT - TOP) * share

    parts = [f'<path class="grid" d="M{LEFT} {y(t):.1f}H{WIDTH - RIGHT}"/>' for t in ticks]
    parts += [_text(LEFT - 6, y(t) + 4, _round(t), "end") for t in ticks]
    parts += [_text(x(s), HEIGHT - 8, _round(s), "middle") for s in _ticks(0.0, last) if s <= last]
    for line in shown:
        at = [(x(s), y(v)) for s, v in line.points if math.isfinite(v)]
        kind = f"line c{line.colour}{' held' if line.held_out else ''}"
        parts.append(f'<path class="{kind}" d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in at)}"/>')
        if line.held_out or len(at) == 1:
            parts += [f'<circle class="c{line.colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in at]
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}"'
    return Panel(
        title,
        f'<svg class="curve" {box}>{"".join(parts)}</svg>',
        tuple((line.name, line.colour, line.held_out) for line in shown),
    )


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most MOST_POINTS points: means over groups of neighbours, the last point kept as it is."""
    group = -(-len(points) // MOST_POINTS)
    if group <= 1:
        return list(points)
    groups = [points[i : i + group] for i in range(0, len(points) - 1, group)]
    means = [(sum(s for s, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]
    return [*means, points[-1]]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that hold the range."""
    span = max(high - low, abs(high) * 1e-3, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(r * power for r in ROUND if r * power >= span / 4 * 0.999)
    first = math.floor(low / step + 1e-9)
    count = max(1, math.ceil(high / step - 1e-9) - first)
    return [(first + i) * step for i in range(count + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that hold the range, with 2 and 5 between where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    within = (1.0, 2.0, 5.0) if last - first <= 2 else (1.0,)
    ticks = [m * 10.0**e for e in range(first, last) for m in within] + [10.0**last]
    begin = max((i for i, t in enumerate(ticks) if t <= low), default=0)
    end = min((i for i, t in enumerate(ticks) if t >= high), default=len(ticks) - 1)
    return ticks[begin : end + 1]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _round(value: float) -> str:
    return f"{value:.4g}"
