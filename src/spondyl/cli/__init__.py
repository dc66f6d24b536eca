"""The command line: flags in, exit codes out. Everything that is done is done by `spondyl.pipeline`."""

from spondyl.cli.commands import app, main, run

__all__ = ["app", "main", "run"]
