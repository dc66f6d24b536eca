"""The one path through a study: read, picture, measure, write. The command line calls it; nothing here prints.

    project_study   a CT becomes radiographs
    measure_study   a labelled CT becomes angles
    demo            a virtual patient becomes a CT, and goes the same way as a user's CT; its design is the truth

Each writes its folder whole or not at all, and the report last.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from spondyl import __version__
from spondyl.images import Volume
from spondyl.io.folder import whole_folder
from spondyl.io.nifti import write_nifti
from spondyl.io.volumes import read_ct, read_labelled
from spondyl.measure.curve import Reading, curve_from_labels
from spondyl.pipeline.exposing import Exposing, exposing_settings
from spondyl.pipeline.film_demo import (
    ABSENT,
    film_gallery,
    films_line,
    read_films,
    reader_records,
    shipped_reader,
    write_read_films,
)
from spondyl.pipeline.film_reader import Reader
from spondyl.pipeline.modalities import galleries, take_others, ultrasound_angles, write_others
from spondyl.pipeline.pictures import write_shot
from spondyl.pipeline.sentences import beam_line, cobb_part, demo_line, measured_line, read_line, wrote_line
from spondyl.pipeline.study import (
    REPORT,
    Case,
    Pictured,
    hash_of,
    picture_case,
    report_on,
    source_to_patient_mm,
    write_report,
)
from spondyl.progress import Progress, Silent
from spondyl.report import Input, Report, angles_json

# What `measure` shows its lines on: sizes and angles as in the patient, no noise.
PLAIN = Exposing(beam="parallel", ideal=True, formats=())
# As a thin-slice CT. At 1.5 mm the voxels alone turn an endplate, and with it the Cobb angle, by half a degree.
DEMO_SPACING_MM = 1.0
DEMO_SCHEME = "spondyl"


@dataclass(frozen=True)
class Done:
    """What a verb did: the report that it wrote, and three lines for the user (four where films were read alone)."""

    report: Report
    lines: tuple[str, ...]


def project_study(
    ct: Path,
    out: Path,
    *,
    labels: Path | None = None,
    scheme: str = "auto",
    exposing: Exposing | None = None,
    progress: Progress | None = None,
) -> Done:
    """Radiographs of a CT, with the spine and its angles drawn on them where labels came.

    Args:
        ct: what `io.volumes.read_ct` reads.
        out: the folder; made if it is not there.
        labels: vertebra labels of the same patient; they also tell bone from soft tissue.
        scheme: the labels' numbering, or "auto".

    Raises:
        ValueError, OSError: one line each, for input that cannot be used and output that cannot be written.
    """
    exposing, progress = exposing or Exposing(), progress or Silent()
    progress.plan(5 + len(exposing.views) - (labels is None))
    with whole_folder(out, last=REPORT) as folder:
        case = _read(ct, labels, scheme, progress)
        pictured = picture_case(case, exposing, progress)
        progress.step("write the pictures")
        files = _write_pictures(folder, case, pictured, exposing)
        progress.step("write the report")
        settings = {**({} if labels is None else {"label_scheme": scheme}), **exposing_settings(exposing)}
        report = report_on(case, pictured, files, verb="project", settings=settings)
        write_report(folder, report, pictured)
    made = f"made {', '.join(p.shot.name for p in pictured)}: {beam_line(exposing)}{cobb_part(report)}"
    return Done(report, (read_line(report), made, wrote_line(report, out)))


def measure_study(ct: Path, labels: Path, out: Path, *, scheme: str = "auto", progress: Progress | None = None) -> Done:
    """Angles of a labelled CT: angles.json, and the report with the lines drawn on plain projections.

    Raises:
        ValueError, OSError: one line each; labels without a vertebra are an error here.
    """
    progress = progress or Silent()
    progress.plan(4 + len(PLAIN.views))
    with whole_folder(out, last=REPORT) as folder:
        case = _read(ct, labels, scheme, progress)
        if case.reading is None:
            raise ValueError(case.notes[-1])
        pictured = picture_case(case, PLAIN, progress)
        progress.step("write the report")
        settings = {"label_scheme": scheme, **exposing_settings(PLAIN)}
        report = report_on(case, pictured, {}, verb="measure", settings=settings, more_files=("angles.json",))
        (folder / "angles.json").write_text(angles_json(report), encoding="utf-8")
        write_report(folder, report, pictured)
    return Done(report, (read_line(report), measured_line(report), wrote_line(report, out)))


def demo(out: Path, *, seed: int = 0, reader: Reader | None = None, progress: Progress | None = None) -> Done:
    """A virtual patient with a right thoracic curve of 42 degrees in every modality, and its angles beside its design.

    The CT and its labels are written, read back and measured as a user's would be, and so are the films, alone; nothing of
    the design is used on the way. `seed` is of the noise in the pictures. `reader` is of films: None takes the one that
    ships, and where this installation has none a note says so.
    """
    from spondyl.sim.patient import demo_patient, rasterise

    progress = progress or Silent()
    exposing = Exposing(beam="cone", seed=seed)
    reader = reader or shipped_reader()
    progress.plan(9 + len(exposing.views))
    with whole_folder(out, last=REPORT) as folder:
        progress.step("make the virtual patient")
        patient = demo_patient()
        volume = rasterise(patient, spacing_mm=DEMO_SPACING_MM)
        progress.step("image its back: ultrasound, colour and depth")
        others = take_others(patient, volume, seed=seed)
        more_files = [*_write_demo_ct(volume, folder, progress), *write_others(folder, others)]
        del volume
        case = _read(folder / "ct.nii.gz", folder / "labels.nii.gz", DEMO_SCHEME, progress)
        source = replace(case.source, kind="simulated", path=Path("ct.nii.gz"))
        who = Input("patient", "built in: girl of 14, right thoracic curve of 42 degrees", "simulated", "")
        case = replace(case, source=source, inputs=(who, *case.inputs), truth=patient.spine)
        case = _designed_part(case, patient.spine.levels)
        pictured = picture_case(case, exposing, progress)
        progress.step("write the pictures")
        files = _write_pictures(folder, case, pictured, exposing)
        progress.step("read the films alone")
        readings = {} if reader is None else read_films(folder, files, reader)
        for name, file in write_read_films(folder, readings).items():
            files[name].append(file)
        progress.step("write the report")
        case = replace(case, notes=case.notes if reader is not None else (*case.notes, ABSENT))
        settings = {"ct_spacing_mm": DEMO_SPACING_MM, "label_scheme": DEMO_SCHEME, **exposing_settings(exposing)}
        report = report_on(case, pictured, files, verb="demo", settings=settings, more_files=more_files)
        report = replace(
            report,
            angles=(*report.angles, *ultrasound_angles(others, case.reading)),
            film_readings=reader_records(readings, report.angles),
        )
        spine = patient.spine if case.reading is None else case.reading.spine
        sections = galleries(others, case.volume, spine, report.angles)
        write_report(folder, report, pictured, (*film_gallery(readings, report.film_readings), *sections))
    return Done(report, (demo_line(report), measured_line(report), *films_line(report), wrote_line(report, out)))


def _read(ct: Path, labels: Path | None, scheme: str, progress: Progress) -> Case:
    """The CT with its labels and the spine in them; what stops the spine from being read becomes the last note."""
    progress.step(f"read {ct.name}")
    if labels is None:
        volume, source = read_ct(ct)
        return Case(volume, source, (Input("ct", ct.name, source.kind, source.sha256),), notes=source.notes)
    volume, source = read_labelled(ct, labels, scheme)
    inputs = (
        Input("ct", ct.name, source.kind, source.sha256),
        Input("labels", labels.name, "label map", hash_of(labels)),
    )
    progress.step("measure the spine")
    try:
        reading: Reading | None = curve_from_labels(volume)
        notes = source.notes
    except ValueError as error:
        reading, notes = None, (*source.notes, str(error))
    return Case(volume, source, inputs, reading, notes=notes)


def _write_demo_ct(volume: Volume, folder: Path, progress: Progress) -> list[str]:
    volume = replace(volume, hu=volume.hu.round())  # whole HU, as a scanner stores them
    progress.step("write its CT")
    mark: dict[str, str | float | list[str]] = {
        "SyntheticData": "YES",
        "Description": f"Virtual patient made by spondyl {__version__}; not a scan of a person",
    }
    write_nifti(volume, folder / "ct.nii.gz", sidecar=mark)
    write_nifti(volume, folder / "labels.nii.gz", sidecar=mark, labels=True)
    return ["ct.nii.gz", "ct.json", "labels.nii.gz", "labels.json"]


def _designed_part(case: Case, levels: tuple[str, ...]) -> Case:
    """The case without the vertebrae that are drawn for the look of the neck but have no design to compare with."""
    if case.reading is None:
        return case
    found = case.reading.spine.levels
    rows = [i for i, level in enumerate(found) if level in levels]
    extra = [level for level in found if level not in levels]
    reading = replace(
        case.reading,
        spine=case.reading.spine.subset([found[i] for i in rows]),
        quality=case.reading.quality[rows],
        visible=case.reading.visible[rows],
        heights_mm=case.reading.heights_mm[rows],
        step_deg=case.reading.step_deg[rows],
        notes=tuple(note for note in case.reading.notes if not any(level in note.split() for level in extra)),
    )
    note = f"{', '.join(extra)} can be read too; they are left out, because the design begins at {levels[0]}"
    return replace(case, reading=reading, notes=(*case.notes, note) if extra else case.notes)


def _write_pictures(
    folder: Path, case: Case, pictured: tuple[Pictured, ...], exposing: Exposing
) -> dict[str, list[str]]:
    return {
        p.shot.name: write_shot(
            folder,
            p.shot,
            source=case.source,
            formats=exposing.formats,
            source_to_patient_mm=source_to_patient_mm(p.shot.radiograph.view, case.centre_mm),
        )
        for p in pictured
    }
