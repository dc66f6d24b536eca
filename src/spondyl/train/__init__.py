"""The verb `train`: one loop for every system, which can be stopped anywhere and goes on as if it had not been."""

from spondyl.train.config import preset_of
from spondyl.train.loop import Trained, build, train
from spondyl.train.sampler import Cases

__all__ = ["Cases", "Trained", "build", "preset_of", "train"]
