"""Real or virtual? Two small classifiers in five folds over films, and what each of them could use."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from cohort_rows import DRAWS, Array, Row
from film_statistics import gradients, greys, middle_strip, spectrum
from film_store import Film, Grey
from PIL import Image
from torch import Tensor, nn

FOLDS = 5
WHOLE = (160, 64)  # rows and columns of a whole film for the net
PATCH, STEP = 64, 32  # pixels of a patch, and from one to the next; about 110 mm
EPOCHS = 20


def folds(count: int, seed: int) -> list[Array]:
    """Numbers of the films of each fold."""
    order = np.random.default_rng(seed).permutation(count)
    return [order[k::FOLDS] for k in range(FOLDS)]


def features(films: Sequence[Film], parts: Sequence[Callable[[Grey], Array]]) -> Array:
    """One row of numbers a film."""
    return np.array([np.concatenate([part(f.grey) for part in parts]) for f in films])


def logistic_scores(x: Array, y: Array, seed: int) -> Array:
    """Log odds of each film being real, from the fold that did not see it; ridge penalty 1, features standardised in training."""
    scores = np.zeros(len(y))
    for held in folds(len(y), seed):
        train = np.setdiff1d(np.arange(len(y)), held)
        mean, sd = x[train].mean(0), x[train].std(0) + 1e-9
        inputs = torch.from_numpy((x - mean) / sd)
        target = torch.from_numpy(y.astype(np.float64))
        weight = _weights(target[train])
        beta = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS([beta], max_iter=40, line_search_fn="strong_wolfe")

        def loss(
            inputs: Tensor = inputs[train], target: Tensor = target[train], weight: Tensor = weight,
            beta: Tensor = beta, solver: torch.optim.LBFGS = solver,
        ) -> Tensor:  # fmt: skip
            solver.zero_grad()
            odds = inputs @ beta[1:] + beta[0]
            cost = nn.functional.binary_cross_entropy_with_logits(odds, target, weight, reduction="sum")
            cost = cost + 0.5 * beta[1:].square().sum()
            cost.backward()
            return cost

        solver.step(loss)  # type: ignore[arg-type]
        with torch.no_grad():
            scores[held] = (inputs[held] @ beta[1:] + beta[0]).numpy()
    return scores


def _weights(target: Tensor) -> Tensor:
    """Weights that make both classes count the same."""
    real = target.mean()
    return torch.where(target > 0.5, 0.5 / real, 0.5 / (1 - real))


def whole(film: Film) -> Tensor:
    """A whole film for the net: its middle strip, shrunk to WHOLE."""
    h, w = WHOLE
    strip = middle_strip(film.grey, round(film.grey.shape[0] * w / h))
    return torch.from_numpy(np.array(Image.fromarray(strip).resize((w, h), Image.Resampling.BOX)))[None, None]


def patches(film: Film) -> Tensor:
    """Patches of the film's middle strip, each with its own mean taken away: texture and detail, not how bright it is."""
    strip = torch.from_numpy(np.array(middle_strip(film.grey, 96)))
    cut = strip.unfold(0, PATCH, STEP).unfold(1, PATCH, STEP).reshape(-1, 1, PATCH, PATCH)
    return cut - cut.mean((-1, -2), keepdim=True)


class SmallNet(nn.Module):
    """Four strided convolutions and a mean: 25 thousand weights."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for last, width in ((1, 8), (8, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(last, width, 3, 2, 1), nn.GroupNorm(4, width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Log odds, one a picture."""
        odds: Tensor = self.head(self.body(x).mean((-1, -2)))[:, 0]
        return odds


def net_scores(pictures: Sequence[Tensor], y: Array, seed: int, epochs: int = EPOCHS) -> Array:
    """Log odds of each film being real, the mean over its pictures [n 1 h w], from the fold that did not see the film."""
    scores = np.zeros(len(y))
    for held in folds(len(y), seed):
        torch.manual_seed(seed)
        net, seen = SmallNet(), set(np.setdiff1d(np.arange(len(y)), held).tolist())
        x = torch.cat([p for k, p in enumerate(pictures) if k in seen])
        target = torch.cat([torch.full((len(p),), float(y[k])) for k, p in enumerate(pictures) if k in seen])
        weight = _weights(target)
        solver = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(32):
                shown = x[batch].flip(-1) if torch.rand(()) < 0.5 else x[batch]
                cost = nn.functional.binary_cross_entropy_with_logits(net(shown), target[batch], weight[batch])
                solver.zero_grad()
                cost.backward()  # type: ignore[no-untyped-call]
                solver.step()
        net.eval()
        with torch.no_grad():
            for k in held:
                scores[k] = float(net(pictures[k]).mean())
    return scores


def balanced_accuracy(scores: Array, y: Array) -> float:
    """Mean of the shares of real and of virtual films that are told right; 0.5 is guessing."""
    right = (scores > 0) == (y > 0.5)
    return float((right[y > 0.5].mean() + right[y < 0.5].mean()) / 2)


def accuracy_row(what: str, scores: Array, y: Array, note: str = "") -> Row:
    """A row: wanted near guessing, 0.4 to 0.6; the interval is a bootstrap over films of each kind."""
    rng = np.random.default_rng(0)
    kinds = [np.flatnonzero(y > 0.5), np.flatnonzero(y < 0.5)]
    draws = []
    for _ in range(DRAWS):
        picked = np.concatenate([rng.choice(k, len(k)) for k in kinds])
        draws.append(balanced_accuracy(scores[picked], y[picked]))
    interval = float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5))
    return Row("films", what, 0.4, 0.6, balanced_accuracy(scores, y), interval, len(y), note)


Groups = dict[str, tuple[Callable[[Grey], Array], ...]]
GROUPS: Groups = {
    "grey percentiles": (greys,),
    "gradient percentiles": (gradients,),
    "radial spectrum": (spectrum,),
    "all three": (greys, gradients, spectrum),
}
