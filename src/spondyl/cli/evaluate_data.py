"""The cases that `evaluate` asks: those of a cohort on disk, or of a folder of annotated films."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from spondyl.drawing import spacing_at_mm
from spondyl.evaluate import EvaluationCase, ImageTruth, MarksTruth, SpineTruth, Truth, sha256_of
from spondyl.geometry import View
from spondyl.images import Layers, Radiograph, Ultrasound
from spondyl.io.aasce import TABLE, AasceFilm, is_aasce, read_aasce
from spondyl.io.case_record import Split
from spondyl.io.shards import LANDMARKS, MANIFEST, Cohort, StoredCase
from spondyl.measure.aasce import AasceAngles
from spondyl.measure.cobb import cobb_from_spine
from spondyl.pairs import Image
from spondyl.sim.ultrasound_marks import marks_of
from spondyl.simulate.landmark_json import arches_of
from spondyl.spine import Corners, SpineCurve, UltrasoundMarks
from spondyl.system import System

T = TypeVar("T")
MOST_LEARNT = 400  # training cases whose truths make the mean predictor
LAYERED = "_layers"
SIDEWAYS = 0.5  # share of the left-right axis in the detector's rows below which a view is lateral


@dataclass(frozen=True, eq=False)
class Asked:
    """What is evaluated on.

    Args:
        name: of the data, for people; sha256: of the manifest or table.
        cases: all that were chosen; learnt: truths of the training split.
        split: "all" where the data have none.
        mean_of, notes: see `evaluate.Protocol`.
    """

    name: str
    sha256: str
    cases: tuple[EvaluationCase, ...]
    learnt: tuple[Truth, ...]
    split: str
    split_by: str
    mean_of: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which cases: split and what it holds out, how many (None: all), and names to leave out."""

    split: str
    split_by: str
    count: int | None
    excluded: tuple[str, ...]


def cases_in(folder: Path, system: System, choice: Choice) -> Asked:
    """The cases of a folder that fit a system.

    Raises:
        ValueError: where the folder is neither kind, or holds nothing that the system takes.
        OSError: where a file cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; wanted a cohort of spondyl simulate, or {TABLE} with images/")
    asked = _films(folder, system, choice) if is_aasce(folder) else _cohort(folder, system, choice)
    if not asked.cases:
        raise ValueError(f"{folder} has no case in its {choice.split} split that {system.name} takes; see --split")
    return asked


def _films(folder: Path, system: System, choice: Choice) -> Asked:
    if system.target is not Corners:
        raise ValueError(f"{folder} holds films with corners; {system.name} makes {system.target.__name__}")
    films = [film for film in read_aasce(folder) if film.path.stem not in choice.excluded]
    cases = tuple(_film_case(film) for film in _spread(films, choice.count))
    notes: tuple[str, ...] = (
        "Real films with unknown pixel size: corner errors are shares of an endplate's width. Their labels have outliers of their"
        " own; the AASCE angles are those of the label file.",
    )
    if choice.excluded:
        notes = (*notes, f"Left out by name: {', '.join(choice.excluded)}.")
    mean_of = "the mean of the other films; no training split was given"
    return Asked(folder.name, sha256_of(folder / TABLE), cases, (), "all", "", mean_of, notes)


def _film_case(film: AasceFilm) -> EvaluationCase:
    # grey takes the place of optical depth, and pixels that of millimetres: a reader of films knows neither
    view = View.around((0.0, 0.0, 0.0), shape_px=film.shape_px, beam="parallel")
    corners = Corners(film.corners.levels, film.corners.corners_px, film.corners.confidence, view)
    truth = SpineTruth(corners, "coronal", film.shape_px[0], aasce=AasceAngles(*film.angles_deg))
    return EvaluationCase(film.path.stem, film.path.stem, lambda: Radiograph(film.film().grey, view), truth)


def _cohort(folder: Path, system: System, choice: Choice) -> Asked:
    cohort, split = Cohort(folder), split_of(choice.split)

    def members(wanted: Split | None) -> list[StoredCase]:
        by_patient = choice.split_by == "patient"
        return list(cohort.iterate(split=wanted) if by_patient else cohort.iterate(shape_split=wanted))

    def asked(stored: Sequence[StoredCase]) -> list[EvaluationCase]:
        return [_case(case, name, system) for case in stored for name in _names(case, system)]

    kept = [case for case in members(split) if not {f"{case.id:06d}", str(case.id)} & set(choice.excluded)]
    cases = tuple(asked(_spread(kept, choice.count)))
    teaching = [] if split in ("train", None) else members("train")
    used = _spread(teaching, MOST_LEARNT)
    learnt = tuple(case.truth for case in asked(used))
    mean_of = _mean_of(len(learnt), len(used), len(teaching))
    notes: tuple[str, ...] = (
        "Simulated patients with exact truth; angles are those of the corners that the view shows.",
    )
    if choice.excluded:
        notes = (*notes, f"Left out by name: {', '.join(choice.excluded)}.")
    name = f"cohort {folder.resolve().name}"
    return Asked(name, sha256_of(folder / MANIFEST), cases, learnt, choice.split, choice.split_by, mean_of, notes)


def _mean_of(images: int, used: int, there: int) -> str:
    """Where the mean predictor's means come from, for the protocol."""
    if not images:
        return "the mean of the other patients"
    cases = f"{used} of {there} cases, evenly over them," if used < there else f"the {there} cases"
    return f"the mean of {images} images in {cases} of the training split"


def split_of(name: str) -> Split | None:
    """A split by its name; None for all. Raises ValueError for another word."""
    named: dict[str, Split | None] = {"train": "train", "val": "val", "test": "test", "all": None}
    if name not in named:
        raise ValueError(f"--split is {name!r}; wanted test, val, train or all")
    return named[name]


def _names(case: StoredCase, system: System) -> list[str]:
    """Which images of a case are asked: for a reader each of its modalities, whole films rather than layers; else its source."""
    if system.target in (Corners, UltrasoundMarks):
        bare = dict.fromkeys(name.removesuffix(LAYERED) for name in system.modalities)
        found = [next((n for n in (name, name + LAYERED) if n in case.modalities), "") for name in bare]
        return [name for name in found if name]
    return [system.modalities[0]] if set(system.modalities) <= set(case.modalities) else []


def _case(case: StoredCase, name: str, system: System) -> EvaluationCase:
    source = partial(_image, case, name)
    number, patient = f"{case.id:06d}", case.record.patient
    if system.target is Corners:
        image = source()
        if not isinstance(image, Radiograph):
            raise ValueError(f"{name} of case {case.id} is a {type(image).__name__}; wanted a radiograph")
        return EvaluationCase(
            f"{number}-{name.removesuffix(LAYERED)}", patient, source, film_truth(case.spine, image.view)
        )
    if system.target is UltrasoundMarks:
        echo = source()
        if not isinstance(echo, Ultrasound):
            raise ValueError(f"{name} of case {case.id} is a {type(echo).__name__}; wanted an ultrasound image")
        marks = marks_of(arches_of(case.content(LANDMARKS), f"{LANDMARKS} of case {case.id}"), echo)
        truth = MarksTruth(marks, cobb_from_spine(case.spine), echo.pixel_spacing_mm)
        return EvaluationCase(f"{number}-{name}", patient, source, truth)
    load = partial(_image, case, system.modalities[1])
    made = load()
    return EvaluationCase(
        number, patient, source, ImageTruth(load, made.view if isinstance(made, Radiograph) else None)
    )


def _image(case: StoredCase, name: str) -> Image:
    image = case.image(name)
    return Radiograph(image.optical_depth.sum(0), image.view) if isinstance(image, Layers) else image


def film_truth(spine: SpineCurve, view: View) -> SpineTruth:
    """The corners of an exact spine that lie inside a view's picture, and the scale at the spine."""
    whole = spine.project(view)
    rows, columns = view.shape_px
    v, u = whole.corners_px.unbind(-1)
    inside = (v >= -0.5) & (v <= rows - 0.5) & (u >= -0.5) & (u <= columns - 0.5)
    points = torch.where(inside[..., None], whole.corners_px, torch.nan)
    corners = Corners(whole.levels, points, inside.to(points.dtype).mean(dim=1), view)
    middle = spine.centres_mm.mean(dim=0)
    magnification = float(view.magnification(middle[None].to(view.world_from_detector))[0])
    lateral = math.fabs(float(view.world_from_detector[0, 0])) < SIDEWAYS
    return SpineTruth(
        corners,
        "sagittal" if lateral else "coronal",
        rows,
        u_magnification=magnification,
        mm_per_px=spacing_at_mm(view, middle),
        largest_in_space_deg=None if lateral else max((c.angle_deg for c in cobb_from_spine(spine)), default=0.0),
    )


def _spread(members: Sequence[T], count: int | None) -> list[T]:
    """So many members, evenly over the list; all where it is no longer."""
    if count is None or count >= len(members):
        return list(members)
    return [members[i * len(members) // count] for i in range(count)]
