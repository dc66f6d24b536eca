"""What a system is: its settings, the protocol that training and evaluation see, and its folder of weights."""

from spondyl.system.protocol import BatchT, System, Word
from spondyl.system.settings import Optim, Preset, Settings, Training

__all__ = ["BatchT", "Optim", "Preset", "Settings", "System", "Training", "Word"]
