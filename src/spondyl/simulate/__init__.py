"""Simulated cohorts: one case, a folder of many, pairs without end, and the check of a cohort on disk."""

from spondyl.simulate.case import Case, case_seed, make_case
from spondyl.simulate.checking import Checked, Fault, validate_cohort
from spondyl.simulate.cohort import Made, Runner, simulate
from spondyl.simulate.endless import simulate_pairs
from spondyl.simulate.plan import Job, Plan, Scan
from spondyl.simulate.scan import scan_hash
from spondyl.simulate.truth import shape_regions, truth_of

__all__ = [
    "Case",
    "Checked",
    "Fault",
    "Job",
    "Made",
    "Plan",
    "Runner",
    "Scan",
    "case_seed",
    "make_case",
    "scan_hash",
    "shape_regions",
    "simulate",
    "simulate_pairs",
    "truth_of",
    "validate_cohort",
]
