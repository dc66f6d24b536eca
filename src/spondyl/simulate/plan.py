"""What a cohort is: the plan that is written as cohort.json, and the job that carries it out."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast, get_args

from spondyl import __version__
from spondyl.io.json_line import Fields, json_object
from spondyl.pairs import Subject
from spondyl.sim.make import NEED_SKIN, Wish, names_of
from spondyl.sim.patient.anatomy import Sex
from spondyl.sim.patient.curve_types import CurveType
from spondyl.sim.patient.draw import LARGEST_COBB_DEG, Cohort
from spondyl.sim.patient.patient import Stance

FORMAT = 1
NOTICE = "Simulated patients: no image in this folder was taken of a person. For research, not for diagnosis."
NOTICE_BENT = "Simulated images of one scanned person, bent into other shapes. For research, not for diagnosis."
WITH_CT, WITHOUT_CT = 16, 256  # cases a shard: about half a GB at 2 mm
# Peak of a process [measured with ct, pa, lateral and ultrasound: 0.44 GB at 4 mm, 0.8 at 2 mm, 4.5 at 1 mm], rounded up.
FIXED_GB, BYTES_A_VOXEL = 0.7, 48.0
# What changes how a cohort is cut into files, but no case: not part of the hash that names a case.
SHAPES = ("any", "held-out")
NOT_THE_CASE = frozenset({"count", "cases_per_shard"})


@dataclass(frozen=True)
class Plan:
    """A cohort, as its user asked for it. A case is a function of this plan and its own number.

    Args:
        count: number of cases; their ids run from 0.
        seed: of the cohort.
        cohort: the population, see `sim.patient.draw`.
        modalities: names in `sim.make.SENSORS`, in that order.
        spacing_mm: of the CT's voxels, 0.3 to 10.
        vary: draw every sensor's settings anew for each case.
        sex, age_years, cobb_deg, curve_type, stance: wishes for every patient, None for the population's own.
        shapes: "any", or "held-out": patients alone whose curves lie in a held-out region (`truth.shape_regions`), for a test set.
        scan: SHA-256 of the scan that is bent, "" for virtual patients.
        cases_per_shard: how many cases a tar file holds; 0 takes 16 with CT and 256 without.
        version: of spondyl; another one may draw another patient from the same seed.

    Raises:
        ValueError: for a number outside its range or an unknown name.
    """

    count: int
    seed: int
    cohort: str = "screening"
    modalities: tuple[str, ...] = ("ct", "pa", "lateral", "ultrasound", "rgbd")
    spacing_mm: float = 2.0
    vary: bool = True
    sex: str | None = None
    age_years: float | None = None
    cobb_deg: float | None = None
    curve_type: str | None = None
    stance: str = "standing"
    shapes: str = "any"
    scan: str = ""
    cases_per_shard: int = 0
    version: str = __version__

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", names_of(self.modalities))
        for name in ("spacing_mm", "age_years", "cobb_deg"):  # 2 and 2.0 are one plan
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))
        if not self.cases_per_shard:
            object.__setattr__(self, "cases_per_shard", WITH_CT if "ct" in self.modalities else WITHOUT_CT)
        for name, low, high in (
            ("count", 1, 10**8),
            ("seed", 0, 2**63 - 1),
            ("spacing_mm", 0.3, 10),
            ("age_years", 4, 99),
            ("cobb_deg", 0, LARGEST_COBB_DEG),
            ("cases_per_shard", 1, 10**6),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value}; wanted {low:g} to {high:g}")
        for name, known in (("cohort", Cohort), ("sex", Sex), ("curve_type", CurveType), ("stance", Stance)):
            value = getattr(self, name)
            if value is not None and value not in get_args(known):
                raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(get_args(known))}")
        if self.shapes not in SHAPES or (self.scan and self.shapes != "any"):
            raise ValueError(f"shapes is {self.shapes!r}; wanted any, or held-out for virtual patients")

    @property
    def config(self) -> str:
        """SHA-256 of all that decides a case, its number apart."""
        deciding = {name: value for name, value in asdict(self).items() if name not in NOT_THE_CASE}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def wish_for(self, scan: Subject | None, device: str) -> Wish:
        """What a subject of the cohort shall be."""
        return Wish(
            cohort=cast(Cohort, self.cohort),
            spacing_mm=self.spacing_mm,
            sex=cast("Sex | None", self.sex),
            age_years=self.age_years,
            cobb_deg=self.cobb_deg,
            curve_type=cast("CurveType | None", self.curve_type),
            stance=cast(Stance, self.stance),
            skin=any(modality in NEED_SKIN for modality in self.modalities),
            scan=scan,
            device=device,
        )

    @property
    def memory_gb(self) -> float:
        """What one process needs for one case: a field of 400 x 340 x 700 mm, and what torch and the tables take anyway."""
        voxels = 400 * 340 * 700 / self.spacing_mm**3
        return FIXED_GB + voxels * BYTES_A_VOXEL / 2**30

    def shards(self) -> list[range]:
        """The ids of each shard."""
        return [self.shard_of(first) for first in range(0, self.count, self.cases_per_shard)]

    def shard_of(self, case_id: int) -> range:
        """The ids of the shard that holds a case."""
        first = case_id - case_id % self.cases_per_shard
        return range(first, min(first + self.cases_per_shard, self.count))

    def text(self) -> str:
        """cohort.json: the plan and what it is."""
        notice = NOTICE_BENT if self.scan else NOTICE
        head = {"format": FORMAT, "synthetic": True, "notice": notice, "config": self.config}
        return json.dumps({**head, "plan": asdict(self)}, indent=2, sort_keys=True) + "\n"

    def difference(self, other: "Plan") -> str:
        """The first setting in which another plan differs, in words; "" where there is none."""
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if mine != theirs:
                return f"its {f.name} is {_shown(theirs)}, not {_shown(mine)}"
        return ""


def plan_of(text: bytes, name: str) -> Plan:
    """The plan in a cohort.json.

    Raises:
        ValueError: where it is damaged, of another format, or no plan.
    """
    top = Fields(json_object(text, name), name)
    if top.whole("format") != FORMAT:
        raise ValueError(f"{name} is of format {top.whole('format')}; this version reads {FORMAT}")
    f = top.inner("plan")
    return Plan(
        count=f.whole("count"),
        seed=f.whole("seed"),
        cohort=f.text("cohort"),
        modalities=f.texts("modalities"),
        spacing_mm=f.number("spacing_mm"),
        vary=f.flag("vary"),
        sex=f.text_or_none("sex"),
        age_years=f.number_or_none("age_years"),
        cobb_deg=f.number_or_none("cobb_deg"),
        curve_type=f.text_or_none("curve_type"),
        stance=f.text("stance"),
        shapes=f.text("shapes") if "shapes" in f.raw else "any",  # cohorts of version 0.1 know no other
        scan=f.text("scan"),
        cases_per_shard=f.whole("cases_per_shard"),
        version=f.text("version"),
    )


@dataclass(frozen=True)
class Scan:
    """The labelled CT of a person: files, and the numbering of the labels."""

    ct: Path
    labels: Path
    scheme: str = "auto"


@dataclass(frozen=True)
class Job:
    """A plan, where it goes, and the scan it starts from; what a worker process is told, as one line of text."""

    plan: Plan
    out: Path
    scan: Scan | None = None

    def settings(self) -> str:
        """The job as text."""
        scan = None if self.scan is None else [str(self.scan.ct), str(self.scan.labels), self.scan.scheme]
        return json.dumps({"plan": json.loads(self.plan.text()), "out": str(self.out), "scan": scan})


def job_of(settings: str) -> Job:
    """The job of such a text."""
    f = Fields(json_object(settings.encode(), "the job"), "the job")
    plan = plan_of(json.dumps(f.raw["plan"]).encode(), "the job's plan")
    if f.raw["scan"] is None:
        return Job(plan, Path(f.text("out")))
    ct, labels, scheme = f.texts("scan")
    return Job(plan, Path(f.text("out")), Scan(Path(ct), Path(labels), scheme))


def _shown(value: object) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)
