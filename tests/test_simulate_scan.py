"""Cohorts of one scanned person: bent along other curves, all in one split, with truths that follow from the spine."""

from pathlib import Path

import pytest

from spondyl.io.shards import Cohort
from spondyl.simulate import Job, Plan, Scan, scan_hash, simulate, validate_cohort
from spondyl.simulate.scan import read_scan, scan_notes


@pytest.fixture(scope="module")
def scan(data: Path) -> Scan:
    folder = data / "ct" / "totalseg_abdomen_3mm"
    return Scan(folder / "ct.nii.gz", folder / "totalseg_vertebrae.nii.gz")


def test_a_scan_is_read_at_the_spacing_asked_for(scan: Scan) -> None:
    subject = read_scan(scan, 6.0)
    assert subject.volume.spacing_mm == pytest.approx((6.0, 6.0, 6.0), rel=0.02)
    assert subject.spine.levels[-1] == "S1"
    assert all(note.strip() for note in scan_notes(scan))


def test_the_hash_is_of_the_files_not_of_their_names(scan: Scan, tmp_path: Path) -> None:
    for name, path in (("a.nii.gz", scan.ct), ("b.nii.gz", scan.labels)):
        (tmp_path / name).write_bytes(path.read_bytes())
    copy = Scan(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert scan_hash(copy) == scan_hash(scan)
    assert scan_hash(Scan(copy.labels, copy.ct)) != scan_hash(scan)


def test_a_bent_person_is_one_patient_in_many_shapes(scan: Scan, tmp_path: Path) -> None:
    plan = Plan(2, 3, "surgical", ("ct", "pa"), 6.0, scan=scan_hash(scan))
    made = simulate(Job(plan, tmp_path / "out", scan))
    assert made.new == 2
    records = Cohort(tmp_path / "out").records
    assert len({record.patient for record in records}) == len({record.split for record in records}) == 1
    assert {record.person for record in records} == {None}
    assert records[0].truth.largest_cobb_deg != pytest.approx(records[1].truth.largest_cobb_deg, abs=0.5)
    assert records[0].truth.sacral_slope_deg == pytest.approx(records[1].truth.sacral_slope_deg, abs=0.01)
    assert validate_cohort(tmp_path / "out").faults == ()
    assert str(scan.ct.parent) not in (tmp_path / "out" / "cohort.json").read_text()
