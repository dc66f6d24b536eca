"""The table's numbers as text: the same words on the page and in a terminal."""

import math

from spondyl.evaluate.quantities import QUANTITIES, Kind
from spondyl.evaluate.summary import Difference, Summary
from spondyl.metrics.interval import Estimate

NONE = "–"
HEADINGS = (
    "System", "Read", "Failed", "Mean error or score", "Failures as mean", "Bias", "95 % limits", "Within margins",
    "ICC(2,1)", "κ", "TOST ±5°",
)  # fmt: skip
SHORT = 7  # of them fit a terminal


def label(summary: Summary) -> str:
    """Who a row is of."""
    return f"{summary.system}, shuffled inputs" if summary.role == "shuffled" else summary.system


def cells(summary: Summary) -> tuple[str, ...]:
    """One row, in the order of HEADINGS."""
    a = summary.agreement
    kappa = None if summary.kappa is None else summary.kappa.kappa
    tost = NONE
    if summary.equivalence is not None:
        tost = "yes" if summary.equivalence.equivalent else "not shown"
    within = NONE if a is None else ", ".join(within_text(w.margin, w.share.percent, _kind(summary)) for w in a.within)
    limits = (
        NONE if a is None else f"{number(a.lower_limit.value, sign=True)} to {number(a.upper_limit.value, sign=True)}"
    )
    return (
        label(summary), str(summary.n), str(summary.failures), estimate(summary.mean),
        estimate(summary.mean_with_failures), NONE if a is None else estimate(a.bias, sign=True), limits, within,
        estimate(summary.icc, digits=2), estimate(kappa, digits=2), tost,
    )  # fmt: skip


def _kind(summary: Summary) -> Kind:
    return QUANTITIES[summary.quantity].kind


def within_text(margin: float, percent: float, kind: Kind) -> str:
    """A share with its margin."""
    if kind == "level":
        return f"{'same' if margin < 1 else '±1'} {percent:.0f} %"
    return f"{margin:g}° {percent:.0f} %"


def estimate(e: Estimate | None, *, sign: bool = False, digits: int | None = None) -> str:
    """A number with its 95 % interval: 4.3 (3.9 to 4.8)."""
    if e is None or math.isnan(e.value):
        return NONE
    low, high = (number(x, sign=sign, digits=digits) for x in (e.interval.low, e.interval.high))
    open_end = math.isinf(e.interval.low) or math.isinf(e.interval.high)
    return number(e.value, sign=sign, digits=digits) + ("" if open_end else f" ({low} to {high})")


def number(value: float, *, sign: bool = False, digits: int | None = None) -> str:
    """Two digits behind the point below 2, none from 1000 on, else one."""
    places = digits if digits is not None else 2 if abs(value) < 2 else 0 if abs(value) >= 1000 else 1
    rounded = round(value, places) + 0.0  # no minus zero
    return f"{rounded:{'+' if sign else ''}.{places}f}"


def verdict(d: Difference) -> str:
    """Which of both is better, in words, where the interval leaves zero out."""
    if d.estimate.interval.low <= 0 <= d.estimate.interval.high:
        return "not told apart"
    q = QUANTITIES[d.quantity]
    larger_is_worse = q.kind != "score" or q.better == "low"
    first_better = (d.estimate.value < 0) == larger_is_worse
    return f"{d.first if first_better else d.second} is better"
