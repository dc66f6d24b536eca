"""Who does the units of work: here, worker processes of this machine. A unit is a number; doing it twice changes nothing."""

from spondyl.executors.local import Failure, choose_workers, run_cases

__all__ = ["Failure", "choose_workers", "run_cases"]
