"""index.html of a cohort: thumbnails of some cases and the distribution of every truth, in one file without scripts."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from spondyl.io.case_record import CaseRecord
from spondyl.io.shards import Cohort, StoredCase
from spondyl.report.record import DISCLAIMER
from spondyl.simulate.charts import Chart, bars, histogram
from spondyl.simulate.plan import NOTICE, NOTICE_BENT, Plan
from spondyl.simulate.thumbnails import thumbnails
from spondyl.spine import LEVELS

PAGE = "index.html"
SHOWN = 24  # cases with pictures, spread evenly over the cohort
TYPES = ("none", "1", "2", "3", "4", "5", "6")


@dataclass(frozen=True)
class Card:
    """One case on the page: its caption and its pictures as addresses that hold them."""

    caption: str
    pictures: tuple[str, ...]


def cohort_page(plan: Plan, cohort: Cohort, records: Sequence[CaseRecord]) -> str:
    """The whole page as text. Nothing in it depends on the time, the machine or the folder."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = page.from_string((files("spondyl.simulate") / "cohort.html").read_text(encoding="utf-8"))
    step = max(1, -(-len(records) // SHOWN))
    return template.render(
        plan=plan,
        notice=NOTICE_BENT if plan.scan else NOTICE,
        disclaimer=DISCLAIMER,
        style=(files("spondyl.report") / "style.css").read_text(encoding="utf-8"),
        cards=[_card(cohort.case(record.id), record, plan) for record in records[::step]],
        charts=charts(records),
        splits=[(name, sum(r.split == name for r in records), sum(r.shape_split == name for r in records))
                for name in ("train", "val", "test")],
    )  # fmt: skip


def charts(records: Sequence[CaseRecord]) -> list[Chart]:
    """The distribution of every truth, then of the persons."""
    return [*_angle_charts(records), *_people_charts(records)]


def _angle_charts(records: Sequence[CaseRecord]) -> list[Chart]:
    truths = [record.truth for record in records]
    curves = [curve for truth in truths for curve in truth.curves]
    largest = [max(t.curves, key=lambda c: c.cobb_deg) for t in truths if t.curves]
    uca = [c.uca_deg - c.cobb_deg for c in curves if c.uca_deg is not None]
    spa = [c.spa_deg - c.cobb_deg for c in curves if c.spa_deg is not None]
    return [
        histogram("Largest Cobb angle, °", [t.largest_cobb_deg for t in truths]),
        histogram("Cobb angle of every curve, °", [c.cobb_deg for c in curves]),
        bars("Number of curves", [str(len(t.curves)) for t in truths]),
        bars("Apex of the largest curve", [c.apex.split("/")[0] for c in largest], LEVELS),
        bars("Side of the largest curve", [c.side for c in largest]),
        histogram("Apical rotation of the largest curve, °", [c.rotation_deg for c in largest]),
        histogram("UCA minus Cobb, every curve, °", uca),
        histogram("SPA minus Cobb, every curve, °", spa),
        histogram("Kyphosis T4–T12, °", [t.kyphosis_deg for t in truths if t.kyphosis_deg is not None]),
        histogram("Lordosis L1–S1, °", [t.lordosis_deg for t in truths if t.lordosis_deg is not None]),
        histogram("Sacral slope, °", [t.sacral_slope_deg for t in truths if t.sacral_slope_deg is not None]),
        histogram("Pelvic tilt, °", [t.pelvic_tilt_deg for t in truths if t.pelvic_tilt_deg is not None]),
        histogram(
            "Pelvic incidence, °", [t.pelvic_incidence_deg for t in truths if t.pelvic_incidence_deg is not None]
        ),
        histogram("Coronal balance, mm to the left", [t.balance_mm for t in truths if t.balance_mm is not None]),
        histogram("Sagittal balance, mm forward", [t.sva_mm for t in truths if t.sva_mm is not None]),
        histogram("Length of the spine, mm", [t.length_mm for t in truths]),
        bars("Visible levels", [str(len(t.levels)) for t in truths]),
        bars("Held-out shapes", [name for record in records for name in record.shape_regions or ("none",)]),
    ]


def _people_charts(records: Sequence[CaseRecord]) -> list[Chart]:
    people = [record.person for record in records if record.person is not None]
    return [
        bars("Sex", [p.sex for p in people]),
        histogram("Age, years", [p.age_years for p in people]),
        histogram("Body mass index, kg/m²", [p.bmi for p in people]),
        bars("Curve type", [p.curve_type for p in people], TYPES),
        bars("Skin type", [str(p.skin_type) for p in people]),
        bars("Stance", [p.stance for p in people]),
        bars("Brace or metal", ["brace" if p.braced else "metal" if p.hardware else "neither" for p in people]),
    ]


def caption(record: CaseRecord) -> str:
    """Who a case is, in a few words."""
    words = [f"case {record.id}"]
    if record.person is not None:
        words.append(f"{record.person.sex}, {record.person.age_years:.0f} y")
    if record.truth.curves:
        c = max(record.truth.curves, key=lambda curve: curve.cobb_deg)
        words.append(f"{c.cobb_deg:.0f}° {c.side} {c.upper}–{c.lower}")
    return " · ".join([*words, record.split])


def _card(case: StoredCase, record: CaseRecord, plan: Plan) -> Card:
    spine = case.spine
    pictures = [png for modality in plan.modalities for png in thumbnails(case.image(modality), spine)]
    return Card(caption(record), tuple("data:image/png;base64," + base64.b64encode(png).decode() for png in pictures))
