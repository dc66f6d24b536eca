"""The labelled CT of a person as a subject: the spine read off its labels, the table taken away, the skin where it is whole."""

import hashlib
from dataclasses import replace
from pathlib import Path

from spondyl.io.volumes import read_labelled
from spondyl.measure.curve import curve_from_labels
from spondyl.pairs import Subject
from spondyl.sim.ct import at_spacing
from spondyl.sim.real import body_surface, subject_of
from spondyl.simulate.plan import Scan


def read_scan(scan: Scan, spacing_mm: float) -> Subject:
    """The scan at an isotropic spacing, with its spine and skin as they are at its own.

    Raises:
        ValueError: for labels that do not fit, or show too little of a spine.
        OSError: where a file cannot be read.
    """
    volume, _ = read_labelled(scan.ct, scan.labels, scan.scheme)
    subject = subject_of(volume, curve_from_labels(volume).spine)
    if any(abs(own - spacing_mm) > 0.01 * spacing_mm for own in volume.spacing_mm):
        subject = replace(subject, volume=at_spacing(subject.volume, (spacing_mm, spacing_mm, spacing_mm)))
    return subject


def scan_notes(scan: Scan) -> tuple[str, ...]:
    """What is odd about a scan: sentences for the user. Raises as `read_scan`, so that nothing begins in vain."""
    volume, source = read_labelled(scan.ct, scan.labels, scan.scheme)
    curve_from_labels(volume)
    return (*source.notes, *body_surface(volume).notes)


def scan_hash(scan: Scan) -> str:
    """SHA-256 over the files of CT and labels and the scheme: what the plan names the scan by, wherever it lies."""
    digest = hashlib.sha256(scan.scheme.encode())
    for path in (scan.ct, scan.labels):
        for file in _files(path):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
