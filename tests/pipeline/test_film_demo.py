"""The demo reads its films as a user's would be read, and shows what came of it beside the picture's own angles."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from film_stand_in import StandIn, read_of
from PIL import Image

from spondyl.images import Radiograph
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.pipeline import Done, film_demo, verbs
from spondyl.pipeline.exposing import Exposing
from spondyl.pipeline.film_demo import film_gallery, films_line, reader_records, shipped_reader
from spondyl.pipeline.film_reading import FilmReading
from spondyl.pipeline.pictures import PNG_WINDOW
from spondyl.pipeline.study import Case, Pictured, picture_case
from spondyl.progress import Progress
from spondyl.report import AngleRecord
from spondyl.sim.patient import demo_patient
from spondyl.spine import Corners

TILT_DEG = 0.2  # what the steadying of tilts may change of exact corners


def as_shown(radiograph: Radiograph) -> np.ndarray:
    """The radiograph in the window of its PNG, 8 bits."""
    low, high = PNG_WINDOW
    grey = ((radiograph.optical_depth - low) / (high - low)).clamp(0, 1)
    return (grey * 255).round().to(torch.uint8).numpy()


def exact(radiograph: Radiograph) -> Corners:
    return demo_patient().spine.project(radiograph.view)


@pytest.fixture(scope="module")
def told() -> tuple[Done, Path, dict[str, Radiograph]]:
    raise NotImplementedError
