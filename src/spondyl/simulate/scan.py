"""The labelled CT of a person as a subject: the spine read off its labels."""

import hashlib
from pathlib import Path

from spondyl.io.volumes import read_labelled
from spondyl.measure.curve import curve_from_labels
from spondyl.pairs import Subject
from spondyl.sim.ct import at_spacing
from spondyl.simulate.plan import Scan


def read_scan(scan: Scan, spacing_mm: float) -> Subject:
    """The scan at an isotropic spacing, with its spine read off the labels as they were.

    Raises:
        ValueError: for labels that do not fit, or show too little of a spine.
        OSError: where a file cannot be read.
    """
    volume, _ = read_labelled(scan.ct, scan.labels, scan.scheme)
    spine = curve_from_labels(volume).spine
    if any(abs(own - spacing_mm) > 0.01 * spacing_mm for own in volume.spacing_mm):
        volume = at_spacing(volume, (spacing_mm, spacing_mm, spacing_mm))
    return Subject(volume, spine)


def scan_notes(scan: Scan) -> tuple[str, ...]:
    """What its reader noticed about a scan: sentences for the user. Raises as `read_scan`, so that nothing begins in vain."""
    volume, source = read_labelled(scan.ct, scan.labels, scan.scheme)
    curve_from_labels(volume)
    return source.notes


def scan_hash(scan: Scan) -> str:
    """SHA-256 over the files of CT and labels and the scheme: what the plan names the scan by, wherever it lies."""
    digest = hashlib.sha256(scan.scheme.encode())
    for path in (scan.ct, scan.labels):
        for file in _files(path):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
