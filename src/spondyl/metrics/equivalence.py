"""Two one-sided tests: is the mean difference certainly smaller than a margin?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from scipy.stats import t
from torch import Tensor

from spondyl.metrics.interval import Interval, clusters, interval_from, paired

# The change of a Cobb angle that counts as progression; 95 % of one observer's repeats differ less (Morrissy 1990).
MARGIN_DEG = 5.0


@dataclass(frozen=True)
class Equivalence:
    """The outcome of two one-sided tests.

    Args:
        n: pairs.
        n_patients: whose; the degrees of freedom are one less.
        bias: mean of predicted minus reference.
        margin: equivalence means -margin < bias < margin.
        interval: of the bias, with confidence 1 - 2 alpha (90 % for alpha 0.05).
        p: the larger of both one-sided p-values.
        equivalent: p < alpha, the same as the interval lying inside the margins.
    """

    n: int
    n_patients: int
    bias: float
    margin: float
    interval: Interval
    p: float
    equivalent: bool


def equivalence(
    predicted: Float[Tensor, "n"],
    reference: Float[Tensor, "n"],
    *,
    patients: Integer[Tensor, "n"],
    margin: float = MARGIN_DEG,
    alpha: float = 0.05,
) -> Equivalence:
    """TOST of the mean paired difference against a margin, in the unit of the readings.

    D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680. The standard error is between patients
    (cluster-robust, factor g / (g - 1)), Student's t with g - 1 degrees of freedom; with one pair a patient it is the
    paired t-test. It tests the mean: single readings may be far off, so report `agreement` beside it.

    Raises:
        ValueError: for fewer than three pairs or two patients, a margin or alpha that makes no sense.
    """
    if not margin > 0 or not 0 < alpha < 0.5:
        raise ValueError(f"margin is {margin} and alpha {alpha}; wanted a positive margin and an alpha in (0, 0.5)")
    a, b = paired(predicted, reference)
    numbered = clusters(patients, len(a))
    d, count = a - b, int(numbered.max()) + 1
    bias = float(d.mean())
    totals = torch.zeros(count, dtype=torch.float64).index_add_(0, numbered, d - bias)
    error = float(totals.square().sum() * count / (count - 1)) ** 0.5 / len(d)
    if error == 0:
        p = float(abs(bias) >= margin)
    else:
        p = float(t.sf((margin - abs(bias)) / error, count - 1))
    half = float(t.ppf(1 - alpha, count - 1)) * error
    around = interval_from(bias - half, bias + half, 1 - 2 * alpha)
    return Equivalence(len(d), count, bias, margin, around, p, p < alpha)
