"""What a verb found, as a page for people (report.html) and as a record for programs (report.json)."""

from spondyl.report.page import Film, Gallery, report_html
from spondyl.report.record import (
    DISCLAIMER,
    AngleRecord,
    HeightRecord,
    Input,
    PictureRecord,
    ReaderAngle,
    ReaderRecord,
    Report,
    VolumeRecord,
    angles_json,
    report_json,
)

__all__ = [
    "DISCLAIMER",
    "AngleRecord",
    "Film",
    "Gallery",
    "HeightRecord",
    "Input",
    "PictureRecord",
    "ReaderAngle",
    "ReaderRecord",
    "Report",
    "VolumeRecord",
    "angles_json",
    "report_html",
    "report_json",
]
