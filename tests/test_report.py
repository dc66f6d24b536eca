"""The page and the record: self-contained, safe, stable, and saying what has to be said."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from spondyl.report import (
    DISCLAIMER,
    AngleRecord,
    Film,
    HeightRecord,
    Input,
    PictureRecord,
    Report,
    VolumeRecord,
    report_html,
    report_json,
)
from spondyl.report.page import degrees, regions

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def report(verb: str = "demo") -> Report:
    identity = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    return Report(
        verb=verb,
        simulated=verb == "demo",
        settings={"views": "pa", "kvp": 90.0, "spacing_mm": None, "ideal": False},
        inputs=(Input("ct", "ct <b>& co.nii.gz", "nifti", "ab" * 32),),
        volume=VolumeRecord((10, 20, 30), (1.0, 1.0, 1.5), identity),
        levels=("T12", "L1", "L6"),
        pictures=(
            PictureRecord(
                "pa",
                ("pa.dcm",),
                "seen from behind",
                "slot",
                0.0,
                1300.0,
                950.0,
                (0.2, 0.2),
                (0.2, 0.15),
                (9, 5),
                identity,
            ),
        ),
        angles=(
            AngleRecord("Cobb", "coronal", "T5 superior", "T12 inferior", True, "T8", "right", 41.8512, 41.2, 42.0),
            AngleRecord("Lordosis", "sagittal", "L1 superior", "S1 superior"),
        ),
        heights=(HeightRecord("L1", 24.12345, None, 25.0),),
        notes=("the field ends at <L6>",),
        files=("pa.dcm",),
    )


def film(name: str = "pa", behind: bool = True) -> Film:
    return Film(
        name, PNG, (100.0, 200.0), '<g class="angles"></g>', '<g class="sides"></g>', "seen from behind", behind
    )


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all tags were closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("verb", ["project", "measure", "demo"])
def test_the_page_is_well_formed_and_takes_nothing_from_outside(verb: str) -> None:
    page = report_html(report(verb), [film(), film("lateral", False)])
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    names = {tag for tag, _ in tags.tags}
    assert not names & {"script", "link", "iframe", "object", "base", "a"}
    for _, attributes in tags.tags:
        for key in ("src", "href", "xlink:href"):
            assert (attributes.get(key) or "data:").startswith("data:image/png;base64,") or key not in attributes
    assert not re.search(r"https?:|//fonts|@import|url\(", page)


def test_the_pictures_are_inside_the_page() -> None:
    page = report_html(report(), [film()])
    (found,) = re.findall(r'href="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(found) == PNG


def test_names_from_the_users_files_cannot_inject_markup() -> None:
    page = report_html(report(), [film()])
    assert "ct <b>&" not in page
    assert "ct &lt;b&gt;&amp; co.nii.gz" in page
    assert "&lt;L6&gt;" in page


@pytest.mark.parametrize(
    ("verb", "wanted", "unwanted"),
    [("demo", "SIMULATED", "SYNTHETIC PICTURES"), ("project", "SYNTHETIC PICTURES", "SIMULATED")],
)
def test_the_page_says_what_kind_of_picture_it_shows(verb: str, wanted: str, unwanted: str) -> None:
    page = report_html(report(verb), [film()])
    assert wanted in page
    assert unwanted not in page
    assert page.count(DISCLAIMER) == 2


def test_the_page_can_be_read_on_a_phone_and_in_the_dark() -> None:
    page = report_html(report(), [film()])
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page


def test_only_a_picture_seen_from_behind_can_be_shown_as_on_a_pacs() -> None:
    both = report_html(report(), [film(), film("lateral", False)])
    assert both.count('<figure class="behind"') == both.count('<figure class="fixed"') == 1
    assert 'label for="pacs"' in both
    assert 'label for="pacs"' not in report_html(report(), [film("lateral", False)])


def test_a_report_with_nothing_but_a_ct_still_makes_a_page() -> None:
    bare = Report("project", False, {}, (Input("ct", "x", "dicom", ""),))
    page = report_html(bare, [])
    assert "Angles" not in page.replace("Angles from", "")
    assert "Provenance" in page


def test_the_record_has_the_keys_it_promises() -> None:
    record = json.loads(report_json(report()))
    assert list(record) == [
        "schema", "spondyl", "verb", "simulated", "disclaimer", "settings", "inputs", "volume", "levels", "pictures",
        "angles", "heights", "film_readings", "not_measured", "notes", "files",
    ]  # fmt: skip
    assert list(record["angles"][0]) == [
        "name", "plane", "upper", "lower", "main", "apex", "side", "angle_deg", "picture_deg", "truth_deg", "error_deg",
    ]  # fmt: skip
    assert record["angles"][0]["angle_deg"] == 41.85
    assert record["angles"][0]["error_deg"] == -0.15
    assert record["angles"][1]["error_deg"] is None
    assert record["heights"][0] == {"level": "L1", "anterior_mm": 24.123, "middle_mm": None, "posterior_mm": 25.0}
    assert record["pictures"][0]["pixel_spacing_mm"] == [0.2, 0.2]


def test_the_record_holds_no_minus_zero() -> None:
    angle = AngleRecord("Cobb", "coronal", "T1", "T2", angle_deg=42.0, truth_deg=42.0000001)
    assert "-0.0" not in report_json(replace(report(), angles=(angle,)))


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (41.85, False, "41.9°"),
        (-0.149, True, "−0.1°"),
        (0.26, True, "+0.3°"),
        (None, False, "–"),
        (-0.04, True, "0.0°"),
    ],
)
def test_angles_are_printed_with_one_decimal(value: float | None, signed: bool, text: str) -> None:
    assert degrees(value, signed) == text


def test_the_strip_of_levels_shows_variants_only_where_they_exist() -> None:
    lumbar = regions(("T12", "L1", "L6"))[2].levels
    assert lumbar == (("L1", True), *((f"L{i}", False) for i in range(2, 6)), ("L6", True))
    assert "L6" not in dict(regions(("L1",))[2].levels)
    assert regions(()) == ()
