"""The input guard of films: what is not a spine film is refused, what may be misread is flagged, each with its reason.

All thresholds stand here. They are engineering choices, to be set on simulated films, real films and pictures that are
neither: `benchmarks/guard_cases.py` prints the table they are chosen from.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.reading.look import Read
from spondyl.report.film_record import FilmView, Judgement

# The picture alone, before it is read.
LEAST_SIDE_PX = 160  # of the longer side: below it a vertebra of a whole spine is under 7 pixels tall
LEAST_CONTRAST = 0.01  # of full scale, between the 1st and the 99th percentile
# What was found in it: below these it is refused.
LEAST_VERTEBRAE = 4
LEAST_TOTAL = 4.0
LEAST_SCORE = 0.25
LEAST_FIT = 0.6  # share of vertebrae whose endplates lie across the spine and are as wide as their neighbours'
LEAST_PITCH_PX = 5.0
SURE_VIEW = 0.9  # probability from which a view that was claimed to be the other one is refused
# Below these it is flagged.
GOOD_VERTEBRAE = 7
GOOD_SCORE = 0.42
GOOD_LEVELS = 0.7
GOOD_VIEW = 0.7
# A film that reads worse than this upright is tried turned; a turn wins by this much more evidence.
ASK_TURNS_TOTAL = 12.0
# Upside down a spine still looks like one: the demo's film has 20 of evidence then and 37 upright.
ASK_HEAD_DOWN_TOTAL = 24.0
TURN_MARGIN = 8.0
# Of one vertebra: the endplate against the perpendicular of the spine there, and its width against its neighbours'.
MOST_ASKEW_DEG = 40.0
MOST_WIDER = 1.6
SAMPLES = 1_000_000  # pixels that percentiles are taken from


@dataclass(frozen=True)
class Verdict:
    """What the guard says, with a reason for everything but "accepted". The first reason is the gravest."""

    judgement: Judgement
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turned:
    """A turn that reads better: by how many degrees clockwise the film must be turned, and its evidence."""

    clockwise_deg: int
    total: float


def contrast(grey: Float[Tensor, "h w"]) -> float:
    """Range of the middle 98 % of the pixels."""
    flat = grey.flatten()
    flat = flat[:: max(1, flat.numel() // SAMPLES)].float()
    low, high = torch.quantile(flat, torch.tensor([0.01, 0.99])).tolist()
    return float(high - low)


def judge_picture(grey: Float[Tensor, "h w"]) -> Verdict:
    """What can be said before anything is looked for."""
    h, w = grey.shape
    if max(h, w) < LEAST_SIDE_PX:
        return Verdict("refused", (f"the film is {w} x {h} pixels; wanted at least {LEAST_SIDE_PX} along the spine",))
    found = contrast(grey)
    if found < LEAST_CONTRAST:
        return Verdict("refused", (f"the film is blank: its grey spans {100 * found:.1f} % of the scale",))
    return Verdict("accepted")


def reads_badly(read: Read) -> bool:
    """Whether it is worth turning the film."""
    return read.chain.total < ASK_TURNS_TOTAL or score_of(read) < GOOD_SCORE


def may_be_upside_down(read: Read) -> bool:
    """Whether so little was found that the film may stand on its head."""
    return read.chain.total < ASK_HEAD_DOWN_TOTAL


def judge(
    read: Read, *, pixel: tuple[float, float], claim: FilmView | None = None, turned: Turned | None = None
) -> Verdict:
    """The verdict on a film that was read.

    Args:
        pixel: (v, u) size of a pixel in one unit.
        claim: what the user or the file says it is.
        turned: the best of the three turns, where they were tried.
    """
    wrong = _wrong(read, pixel, claim, turned)
    if wrong:
        return Verdict("refused", tuple(wrong))
    doubts = _doubts(read, claim)
    return Verdict("flagged", tuple(doubts)) if doubts else Verdict("accepted")


def _wrong(read: Read, pixel: tuple[float, float], claim: FilmView | None, turned: Turned | None) -> list[str]:
    chain, n = read.chain, len(read.chain.levels)
    if turned is not None and turned.total >= LEAST_TOTAL and turned.total > chain.total + TURN_MARGIN:
        how = "upside down" if turned.clockwise_deg == 180 else "turned by 90 degrees"
        way = {90: " clockwise", 270: " counter-clockwise"}.get(turned.clockwise_deg, "")
        by = min(turned.clockwise_deg, 360 - turned.clockwise_deg)
        return [f"the film is {how}: turn it by {by} degrees{way} and read it again"]
    if n < LEAST_VERTEBRAE:
        return [f"{_counted(n)} found; wanted {LEAST_VERTEBRAE} or more: is it a film of a spine?"]
    if chain.total < LEAST_TOTAL or score_of(read) < LEAST_SCORE:
        return [f"what was found is too unsure to be a spine (score {score_of(read):.2f}, evidence {chain.total:.1f})"]
    if chain.pitch_px < LEAST_PITCH_PX:
        return [f"a vertebra is {chain.pitch_px:.1f} pixels tall on it; wanted {LEAST_PITCH_PX:g} or more"]
    fit = fit_of(read, pixel)
    if fit < LEAST_FIT:
        return [f"what was found does not form a spine: {100 * fit:.0f} % of the vertebrae fit their neighbours"]
    lateral = lateral_of(read)
    said = lateral if claim == "pa" else 1 - lateral
    if claim is not None and said >= SURE_VIEW:
        is_one = "a lateral" if claim == "pa" else "a PA or AP film"
        return [f"the film was said to be {claim}, but looks like {is_one} ({100 * said:.0f} %)"]
    return []


def _doubts(read: Read, claim: FilmView | None) -> list[str]:
    doubts, n, sure, lateral = [], len(read.chain.levels), level_sure_of(read), lateral_of(read)
    if claim is None and max(lateral, 1 - lateral) < GOOD_VIEW:
        doubts.append(f"it is not sure which view this is (lateral to {100 * lateral:.0f} %); say it with --view")
    if claim is not None and (lateral > 0.5) != (claim == "lateral"):
        doubts.append(
            f"the film was said to be {claim}; it looks like the other view to {100 * abs(lateral - (claim == 'lateral')):.0f} %"
        )
    if sure < GOOD_LEVELS:
        doubts.append(f"levels are sure to {100 * sure:.0f} %: all of them may be off by one")
    if n < GOOD_VERTEBRAE:
        doubts.append(f"{_counted(n)} found; curves that reach beyond them are cut")
    if score_of(read) < GOOD_SCORE:
        doubts.append(f"vertebrae are seen badly (mean score {score_of(read):.2f})")
    return doubts


def _counted(n: int) -> str:
    return "1 vertebra was" if n == 1 else f"{n} vertebrae were"


def score_of(read: Read) -> float:
    """Mean certainty of the vertebrae; 0 without any."""
    return float(read.chain.vertebrae.score.mean()) if len(read.chain.levels) else 0.0


def lateral_of(read: Read) -> float:
    """Probability of a lateral, the mean over vertebrae by their certainty; 0.5 without any."""
    found = read.chain.vertebrae
    if not len(found):
        return 0.5
    return float((found.lateral * found.score).sum() / found.score.sum().clamp_min(1e-6))


def level_sure_of(read: Read) -> float:
    """Probability that the row of levels is right; 0 without any."""
    return float(read.chain.sure.mean()) if len(read.chain.levels) else 0.0


def fit_of(read: Read, pixel: tuple[float, float]) -> float:
    """Share of vertebrae that look like a part of this spine; 0 for fewer than three."""
    found = read.chain.vertebrae
    if len(found) < 3:
        return 0.0
    points = found.points[:, :2].double() * torch.tensor(
        pixel, dtype=torch.float64
    )  # S1 has its superior endplate alone
    middles, chords = points.mean(1), points[:, 1] - points[:, 0]
    along = torch.empty_like(middles)
    along[1:-1], along[0], along[-1] = middles[2:] - middles[:-2], middles[1] - middles[0], middles[-1] - middles[-2]
    width = torch.linalg.norm(chords, dim=1)
    cosine = (chords * along).sum(1).abs() / (width * torch.linalg.norm(along, dim=1)).clamp_min(1e-9)
    across = cosine < torch.sin(torch.deg2rad(torch.tensor(MOST_ASKEW_DEG)))
    near = torch.stack([torch.cat([width[1:2], width[:-1]]), torch.cat([width[1:], width[-2:-1]])])
    ratio = (width / near.clamp_min(1e-9)).log().abs().amin(0).exp()
    return float((across & (ratio < MOST_WIDER)).double().mean())
