"""The command that trains: `train`."""

import hashlib
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spondyl.system import System
    from spondyl.train import Trained

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change a setting: model.width=32, train.optim.lr=1e-4."),
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data", metavar="DIR", help="Learn from a cohort that `simulate` made; may be given more than once."
    ),
]
SplitOption = Annotated[
    str, typer.Option("--split", help="Hold out patients (patient), or regions of curve shapes (shape).")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")]
MinutesOption = Annotated[float | None, typer.Option(help="Stop with a checkpoint before this much time has gone.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="YAML", help="Settings that differ from the preset's.")
]


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command()(train)


def train(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="What to train, by its name.")],
    out: OutOption,
    preset: Annotated[str, typer.Option(help="tiny, small or paper.")] = "tiny",
    data: DataOption = None,
    split: SplitOption = "patient",
    fresh: Annotated[bool, typer.Option("--fresh", help="Simulate every case anew, without end.")] = False,
    minutes: MinutesOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    init: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Begin with the weights of this folder: fine-tuning.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Cases at once: train.batch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, noise and order: train.seed.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Train a system. Stop it when you like; `--resume` goes on as if nothing had been. Watch OUT/index.html."""
    kind = system_named(system)
    if bool(data) == fresh:
        raise ValueError("give either --data DIR or --fresh: the cases to learn from")
    if split not in ("patient", "shape"):
        raise ValueError(f"--split is {split!r}; wanted patient or shape")
    from spondyl.cli.train_data import cohort_cases, fresh_cases
    from spondyl.progress import Silent, progress_on
    from spondyl.train import build, preset_of
    from spondyl.train import train as learn

    short = [f"train.{name}={value}" for name, value in (("batch", batch), ("seed", seed)) if value is not None]
    chosen = preset_of(kind, preset, file=config, overrides=[*(settings or []), *short])
    training = chosen.train
    cases, held_out = (
        cohort_cases(data, kind, split_by="shape" if split == "shape" else "patient")
        if data
        else fresh_cases(kind, training.seed)
    )
    first = os.environ.get("RANK", "0") == "0"
    with progress_on(sys.stderr, sys.stdout) if first else nullcontext(Silent()) as progress:
        done = learn(
            begun(build(kind, chosen.model, seed=training.seed), init),
            cases if init is None else replace(cases, name=f"{cases.name}, begun with {weights_name(init)}"),
            out,
            settings=training,
            held_out=held_out,
            resume=resume,
            minutes=minutes,
            device=device,
            progress=progress,
        )
    _say(done, out, first)


def begun(system: "System", init: Path | None) -> "System":
    """The system with the weights of a folder, whose settings may differ where they change no weight's shape.

    Raises:
        ValueError: where the folder holds no weights that fit.
    """
    if init is not None:
        from spondyl.system.folder import load_into

        load_into(system, init)
    return system


def weights_name(folder: Path) -> str:
    """The first digits of the SHA-256 of a folder's weights: what the record of a run keeps of where it began."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]


def _say(done: "Trained", out: Path, first: bool) -> None:
    if first:
        for note in done.notes:
            typer.echo(f"note: {note}")
        how = {"done": "trained", "time": "stopped in time", "signal": "stopped"}[done.why]
        more = "" if done.why == "done" else "; go on with --resume"
        typer.echo(f"{how} after step {done.step} of {done.steps}{more}")
        typer.echo(f"wrote {out}: open {out / 'index.html'}")
    if done.signal:
        raise typer.Exit(128 + signal.Signals(done.signal))


def system_named(name: str) -> "type[System]":
    """The class of a system. Raises ValueError with the names that there are."""
    from spondyl.systems import SYSTEMS

    if name not in SYSTEMS:
        raise ValueError(f"system is {name!r}; wanted one of: {', '.join(sorted(SYSTEMS)) or 'none is installed'}")
    return SYSTEMS[name]
