"""The guard: what is no spine film is refused with its reason, what may be misread is flagged, a good film passes."""

from dataclasses import replace

import pytest
import torch
from film_stand_in import corners, nothing, read_of, spine

from spondyl.pipeline.film_guard import (
    LEAST_FIT,
    LEAST_SIDE_PX,
    Turned,
    fit_of,
    judge,
    judge_picture,
    lateral_of,
    reads_badly,
)
from spondyl.reading.look import Read

SQUARE = (1.0, 1.0)
FLAT = torch.full((300, 200), 0.4)


def scattered(read: Read) -> Read:
    """The same vertebrae, every other one turned upright: they no longer lie across the spine."""
    points = read.chain.vertebrae.points.clone()
    centre = points.mean(1, keepdim=True)
    points[::2] = centre[::2] + (points - centre)[::2].flip(-1)
    return replace(read, chain=replace(read.chain, vertebrae=replace(read.chain.vertebrae, points=points)))


def test_a_good_film_is_accepted_without_a_word() -> None:
    for read, claim in ((read_of(corners()), "pa"), (read_of(corners(90.0), lateral=0.98), "lateral")):
        for said in (None, claim):
            verdict = judge(read, pixel=SQUARE, claim=said)  # type: ignore[arg-type]
            assert verdict.judgement == "accepted"
            assert verdict.reasons == ()


def test_a_blank_and_a_tiny_picture_are_refused_before_they_are_read() -> None:
    for picture, word in ((FLAT, "blank"), (torch.rand(LEAST_SIDE_PX - 1, 100), "pixels")):
        verdict = judge_picture(picture)
        assert verdict.judgement == "refused"
        assert word in verdict.reasons[0]
    assert judge_picture(torch.rand(300, 200)).judgement == "accepted"


def test_one_odd_pixel_does_not_save_a_blank_film() -> None:
    spot = FLAT.clone()
    spot[10, 10] = 1.0
    assert judge_picture(spot).judgement == "refused"


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (nothing(), "0 vertebrae"),
        (read_of(corners(levels=("T11", "T12", "L1"))), "3 vertebrae"),
        (read_of(corners(), score=0.2), "too unsure"),
        (read_of(corners(), total=1.0), "too unsure"),
        (scattered(read_of(corners())), "does not form a spine"),
        (read_of(replace(corners(), corners_px=corners().corners_px / 8)), "pixels tall"),
    ],
)
def test_what_is_no_spine_is_refused_with_its_reason(read: Read, word: str) -> None:
    verdict = judge(read, pixel=SQUARE)
    assert verdict.judgement == "refused"
    assert word in verdict.reasons[0]


@pytest.mark.parametrize(("claim", "lateral", "word"), [("pa", 0.97, "a lateral"), ("lateral", 0.03, "a PA or AP")])
def test_the_other_view_than_was_claimed_is_refused(claim: str, lateral: float, word: str) -> None:
    verdict = judge(read_of(corners(), lateral=lateral), pixel=SQUARE, claim=claim)  # type: ignore[arg-type]
    assert verdict.judgement == "refused"
    assert word in verdict.reasons[0]
    assert judge(read_of(corners(), lateral=lateral), pixel=SQUARE).judgement == "accepted"


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (read_of(corners(), lateral=0.45), "which view"),
        (read_of(corners(), sure=0.62), "sure to 62 %"),
        (read_of(corners(levels=spine().levels[-5:])), "5 vertebrae"),
        (read_of(corners(), score=0.35), "seen badly"),
    ],
)
def test_what_may_be_misread_is_flagged_with_its_reason(read: Read, word: str) -> None:
    verdict = judge(read, pixel=SQUARE)
    assert verdict.judgement == "flagged"
    assert any(word in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("clockwise", "words"),
    [(90, "by 90 degrees clockwise"), (180, "upside down"), (270, "by 90 degrees counter-clockwise")],
)
def test_a_turn_that_reads_far_better_is_named(clockwise: int, words: str) -> None:
    poor = read_of(corners(levels=spine().levels[-5:]))
    verdict = judge(poor, pixel=SQUARE, turned=Turned(clockwise, 30.0))
    assert verdict.judgement == "refused"
    assert words in verdict.reasons[0]
    assert judge(poor, pixel=SQUARE, turned=Turned(clockwise, 10.5)).judgement == "flagged"


def test_a_poor_read_asks_for_turns_and_a_good_one_does_not() -> None:
    assert reads_badly(nothing())
    assert reads_badly(read_of(corners(), score=0.35))
    assert not reads_badly(read_of(corners()))


def test_fit_counts_whole_spines_as_whole_and_knows_the_shape_of_pixels() -> None:
    assert fit_of(read_of(corners()), SQUARE) == 1.0
    assert fit_of(scattered(read_of(corners())), SQUARE) < LEAST_FIT
    squeezed = corners(pixel=(1.0, 0.2))
    assert fit_of(read_of(squeezed), (1.0, 0.2)) == 1.0


def test_the_view_is_the_mean_over_vertebrae_by_their_score() -> None:
    read = read_of(corners())
    vertebrae = read.chain.vertebrae
    sides = torch.zeros(len(vertebrae))
    sides[0] = 1.0
    score = torch.full((len(vertebrae),), 0.1)
    score[0] = 0.9
    mixed = replace(read, chain=replace(read.chain, vertebrae=replace(vertebrae, lateral=sides, score=score)))
    assert lateral_of(mixed) == pytest.approx(0.9 / (0.9 + 0.1 * (len(sides) - 1)))
    assert lateral_of(nothing()) == 0.5
