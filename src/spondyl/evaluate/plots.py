"""Scatter and Bland-Altman plots as inline SVG. No script, no font, no colour of their own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from spondyl.metrics.agreement import Agreement

WIDTH, HEIGHT = 360.0, 300.0
LEFT, RIGHT, TOP, FOOT = 44.0, 12.0, 10.0, 34.0
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MOST_TICKS = 6


@dataclass(frozen=True)
class Point:
    """One reading: what is right, what was said (None: nothing), and its case."""

    truth: float
    value: float | None
    name: str


@dataclass(frozen=True)
class Axis:
    """One axis: the range that it shows, the picture's ends, and its words."""

    low: float
    high: float
    start: float
    end: float
    title: str

    def at(self, value: float) -> float:
        """Where a value lies in the picture."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the range."""
        rough = (self.high - self.low) / MOST_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in STEPS if s * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def scatter(points: Sequence[Point], unit: str) -> str:
    """What was said over what is right, with the line of equality; failures are strokes on the foot line. "" without points."""
    read = [(p.truth, p.value, p.name) for p in points if p.value is not None]
    if not read:
        return ""
    low, high = _range([x for p in read for x in p[:2]] + [p.truth for p in points])
    x = Axis(low, high, LEFT, WIDTH - RIGHT, f"true, {unit}")
    y = Axis(low, high, HEIGHT - FOOT, TOP, f"read, {unit}")
    parts = [f'<path class="mid" d="M{x.at(low):.1f} {y.at(low):.1f}L{x.at(high):.1f} {y.at(high):.1f}"/>']
    parts += [_dot(x.at(t), y.at(v), f"{name}: {v:.1f} for {t:.1f} {unit}") for t, v, name in read]
    foot = HEIGHT - FOOT
    parts += [
        f'<path class="miss" d="M{x.at(p.truth):.1f} {foot:.1f}v-9"><title>{escape(p.name)}: not read</title></path>'
        for p in points
        if p.value is None
    ]
    return _svg("said over truth", x, y, parts)


def bland_altman(points: Sequence[Point], agreed: Agreement | None, unit: str) -> str:
    """Differences over means, with bias and 95 % limits; "" without points. Bland and Altman, Lancet 327 (1986) 307."""
    read = [((p.truth + p.value) / 2, p.value - p.truth, p) for p in points if p.value is not None]
    if not read:
        return ""
    lines = [] if agreed is None else [agreed.lower_limit.value, agreed.bias.value, agreed.upper_limit.value]
    down, up = _range([d for _, d, _ in read] + lines + [0.0])
    x = Axis(*_range([m for m, _, _ in read]), LEFT, WIDTH - RIGHT, f"mean of read and true, {unit}")
    y = Axis(down, up, HEIGHT - FOOT, TOP, f"read - true, {unit}")
    parts = [_across(y.at(0.0), "zero")]
    for value, kind in zip(lines, ("limit", "mid", "limit"), strict=False):
        parts += [_across(y.at(value), kind), _value(y.at(value), f"{value:+.1f}")]
    parts += [_dot(x.at(m), y.at(d), f"{p.name}: {d:+.1f} {unit}") for m, d, p in read]
    return _svg("difference over mean", x, y, parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """All values with 4 % of room at both ends."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 1.0
    return (low - room, high + room)


def _dot(x: float, y: float, words: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(words)}</title></circle>'


def _across(y: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{LEFT:.0f} {y:.1f}H{WIDTH - RIGHT:.0f}"/>'


def _value(y: float, words: str) -> str:
    return f'<text class="value" x="{WIDTH - RIGHT - 2:.0f}" y="{y - 3:.1f}" text-anchor="end">{words}</text>'


def _svg(title: str, x: Axis, y: Axis, parts: Sequence[str]) -> str:
    foot = HEIGHT - FOOT
    frame = [f'<path class="axis" d="M{LEFT:.0f} {TOP:.0f}V{foot:.0f}H{WIDTH - RIGHT:.0f}"/>']
    for value in x.ticks():
        frame.append(f'<text x="{x.at(value):.1f}" y="{foot + 14:.0f}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        frame.append(f'<text x="{LEFT - 5:.0f}" y="{y.at(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (TOP + foot) / 2
    frame.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 4:.0f}" text-anchor="middle">{escape(x.title)}</text>'
    )
    turned = f'transform="rotate(-90 11 {middle:.0f})"'
    frame.append(f'<text x="11" y="{middle:.0f}" text-anchor="middle" {turned}>{escape(y.title)}</text>')
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}"'
    return f'<svg class="plot" {box}>{"".join(frame)}{"".join(parts)}</svg>'
