"""The one path through a study, for the command line and whoever else has a file and wants pictures or angles."""

from spondyl.pipeline.exposing import Exposing
from spondyl.pipeline.verbs import Done, demo, measure_study, project_study

__all__ = ["Done", "Exposing", "demo", "measure_study", "project_study"]
