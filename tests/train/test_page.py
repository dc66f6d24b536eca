"""Events tell one story however often a run was stopped, and the page shows it from one file."""

import json
import re
from pathlib import Path

import pytest
import torch
from toy_systems import ToyConfig, ToyGan, ToyRegression, toy_cases, toy_pair, toy_training

from spondyl.geometry import View
from spondyl.images import BackImage, Radiograph, Volume
from spondyl.spine import Corners
from spondyl.train import build, train
from spondyl.train.curves import MOST_POINTS, Line, panel, thinned
from spondyl.train.events import EVENTS, Event, Log, read_events, series
from spondyl.train.page import About, duration, facts_of, write_page
from spondyl.train.pictures import dotted, grey, scale_of

ABOUT = About("toy", "toys <b>", 100, 4, 10, "cpu", "needs about 1 MB", (("train.seed", "0"),))


def steps(step: int, loss: float, time: float = 0.0) -> Event:
    return Event("steps", step, {"loss/model": loss, "cases_per_s": 5.0, "data_share": 0.25}, time=time)


def log_of(run: Path, *events: Event) -> None:
    log = Log(run)
    for event in events:
        log.add(event)


def test_events_come_back_as_they_were_told(tmp_path: Path) -> None:
    told = [Event("start", 0, text="begins", time=1.5), steps(10, 0.5, 2.0), Event("end", 10, text="done", time=3.0)]
    log_of(tmp_path, *told)
    assert read_events(tmp_path) == told
    assert all(json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines())


def test_what_was_lost_by_going_back_to_a_checkpoint_is_not_told_twice(tmp_path: Path) -> None:
    log_of(tmp_path, Event("start", 0), steps(10, 1.0), steps(20, 2.0), steps(30, 3.0))
    log_of(tmp_path, Event("start", 20), steps(30, 4.0))
    assert series(read_events(tmp_path), "steps", "loss/model") == [(10, 1.0), (20, 2.0), (30, 4.0)]


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    log_of(tmp_path, steps(10, 1.0))
    with (tmp_path / EVENTS).open("a") as file:
        file.write('{"kind": "ste')
    log_of(tmp_path, steps(20, 2.0))
    assert series(read_events(tmp_path), "steps", "loss/model") == [(10, 1.0), (20, 2.0)]


def test_a_number_that_is_not_finite_is_valid_json_and_comes_back(tmp_path: Path) -> None:
    log_of(tmp_path, steps(1, float("inf")))
    assert "Infinity" not in (tmp_path / EVENTS).read_text()
    assert series(read_events(tmp_path), "steps", "loss/model") == [(1, float("inf"))]


def test_the_time_left_is_the_pace_of_this_process_times_the_steps_to_go() -> None:
    old = [Event("start", 0, time=0.0), steps(10, 1.0, 1.0)]
    now = [Event("start", 10, time=1000.0), steps(20, 1.0, 1020.0), steps(30, 1.0, 1040.0)]
    facts = facts_of([*old, *now], ABOUT, None)
    assert facts.running
    assert (facts.step, facts.share, facts.left) == (30, 0.3, "140 s left".replace("140 s", "2 min"))
    assert facts.seen == "120 cases, every one 12 times"
    assert facts_of([*old, *now], ABOUT, 50.0).left == "50 s left of the time given"
    ended = facts_of([*old, *now, Event("end", 30, text="stopped by SIGTERM", time=1041.0)], ABOUT, None)
    assert (ended.running, ended.state, ended.left) == (False, "stopped by SIGTERM", "")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (119, "119 s"), (125, "2 min"), (3 * 3600 + 1260, "3 h 21 min"), (187200, "2 days 4 h")]
)  # fmt: skip
def test_a_time_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def outside(page: str) -> list[str]:
    """Addresses and scripts of a page that lead out of it."""
    addresses = re.findall(r'(?:src|href)\s*=\s*"(?!data:)([^"]*)"|url\((?!data:)([^)]*)\)', page)
    return [*(a or b for a, b in addresses), *re.findall(r"<script|@import|https?://", page)]


def test_the_checker_of_addresses_finds_them() -> None:
    assert len(outside('<img src="a.png"><script>x</script><a href="http://b">')) == 4
    assert outside('<img src="data:image/png;base64,AA">') == []


def test_the_page_of_a_run_stands_alone_and_refreshes_only_while_it_runs(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(ToyGan):
        name = "watching"

        def collate(self, pairs):  # type: ignore[no-untyped-def]
            page = tmp_path / "index.html"
            seen.append(page.read_text() if page.is_file() else "")
            return super().collate(pairs)

    settings = toy_training(6, log_every=1, picture_every=3)
    system = build(Watching, ToyConfig(), seed=0)
    train(system, toy_cases(), tmp_path, settings=settings, held_out=[toy_pair(77)], device="cpu")
    page = (tmp_path / "index.html").read_text()
    assert outside(page) == []
    assert 'http-equiv="refresh"' in seen[-1]
    assert 'http-equiv="refresh"' not in page
    assert page.count("<img") == 3
    assert page.count("<svg") == 4
    assert "not a medical device" in page
    assert "Held-out cases after step 6" in page


def test_a_page_without_events_and_with_strange_words_is_still_a_page(tmp_path: Path) -> None:
    write_page(tmp_path, ABOUT, [], pictures_step=-1, left_s=None)
    page = (tmp_path / "index.html").read_text()
    assert "No step has been reported yet" in page
    assert "toys &lt;b&gt;" in page


def test_an_answer_that_is_no_picture_is_a_note_and_not_the_end(tmp_path: Path) -> None:
    class Blind(ToyRegression):
        name = "blind"

        def sample(self, source, view, *, generator):  # type: ignore[no-untyped-def]
            return torch.full_like(source, torch.nan)

    system = build(Blind, ToyConfig(), seed=0)
    done = train(system, toy_cases(), tmp_path, settings=toy_training(2), held_out=[toy_pair(7)], device="cpu")
    assert done.why == "done"
    assert [e.text for e in read_events(tmp_path) if e.kind == "note"] == [
        "no pictures: blind gave numbers that are not finite; train it again or use other weights"
    ]


def test_curves_are_thinned_to_means_and_keep_their_last_point() -> None:
    points = [(float(i), 2.0 * i) for i in range(10_000)]
    few = thinned(points)
    assert len(few) <= MOST_POINTS + 1
    assert few[-1] == points[-1]
    assert all(v == pytest.approx(2 * s) for s, v in few)


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [5.0, 5.0], [1e-9, 1e3], [-1.0, 2.0], [3.0, float("nan")]])
def test_any_values_make_a_curve_inside_its_panel(values: list[float]) -> None:
    drawn = panel("x", [Line("a", list(enumerate(values, start=1)))], log=True).svg
    for x, y in re.findall(r"[ML](\d+\.\d) (-?\d+\.\d)", drawn):
        assert 58 <= float(x) <= 502
        assert 9.9 <= float(y) <= 214.1


def test_nothing_to_draw_draws_nothing() -> None:
    assert panel("x", [Line("a", [])]).svg == ""
    assert panel("x", [Line("a", [(1, float("nan"))])]).svg == ""


VIEW = View.around((0, 0, 0), shape_px=(6, 4))


def test_truth_sets_the_grey_scale_and_an_answer_beyond_it_is_clipped() -> None:
    truth = Radiograph(torch.linspace(0, 10, 24).reshape(6, 4), VIEW)
    scale = scale_of(truth)
    assert 0 <= scale[0] < 0.5
    assert 9.5 < scale[1] <= 10
    doubled = grey(truth.map(lambda d: 2 * d), scale)
    assert float(doubled.max()) == 1
    assert float((doubled == 1).float().mean()) > 0.4
    assert scale_of(Radiograph(torch.ones(6, 4), VIEW)) == pytest.approx((1.0, 1.001))


def test_sections_stand_upright_and_photographs_keep_their_colour() -> None:
    hu = torch.zeros(5, 4, 3)
    hu[4] = 1000.0  # the top of the patient
    picture = grey(Volume(hu, torch.eye(4)), (0.0, 1000.0))
    assert picture.shape == (1, 5, 7)
    assert picture[0, 0].tolist() == [1.0] * 7
    assert float(picture[0, 1:].max()) == 0
    photo = BackImage(torch.rand(3, 6, 4), torch.ones(6, 4), torch.eye(3), torch.eye(4))
    assert torch.equal(grey(photo), photo.rgb)


def test_corners_are_dots_where_they_lie_and_missing_ones_are_none() -> None:
    film = Radiograph(torch.arange(24.0).reshape(6, 4), VIEW)
    points = torch.tensor([[[2.0, 1.0], [90.0, 1.0], [torch.nan, 1.0], [-9.0, 0.0]]])
    marked = dotted(film, Corners(("T8",), points, torch.ones(1), VIEW))
    plain = grey(film).expand(3, -1, -1) * 0.8
    changed = (marked != plain).any(dim=0).nonzero().tolist()
    assert changed == [[v, u] for v in (1, 2, 3) for u in (0, 1, 2)]
    with pytest.raises(ValueError, match="use dotted"):
        grey(Corners(("T8",), points, torch.ones(1), VIEW))
