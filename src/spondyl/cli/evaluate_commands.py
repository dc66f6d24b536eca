"""The command that evaluates: `evaluate`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spondyl.cli.evaluate_data import Asked
    from spondyl.evaluate import Entrant, Protocol
    from spondyl.evaluate.table import Table

SystemsArgument = Annotated[
    list[str], typer.Argument(metavar="SYSTEM...", help="Folders of weights, or names of weights that ship.")
]
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="A cohort, or images/ with annotations.csv as of AASCE.")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is not there.")]
SplitOption = Annotated[str, typer.Option(help="Of a cohort: test, val, train or all.")]
SplitByOption = Annotated[str, typer.Option("--split-by", help="Held-out patients (patient) or curve shapes (shape).")]
CountOption = Annotated[int | None, typer.Option("--n", help="So many cases, evenly over the data; default: all.")]
SeedOption = Annotated[int, typer.Option(help="Of the systems' noise, the shuffling and every interval.")]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="NAME", help="Leave this case out; may be given more than once."),
]


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command()(evaluate)


def evaluate(
    systems: SystemsArgument,
    data: DataOption,
    out: OutOption,
    split: SplitOption = "test",
    split_by: SplitByOption = "patient",
    n: CountOption = None,
    seed: SeedOption = 0,
    exclude: ExcludeOption = None,
    resamples: Annotated[int, typer.Option(help="Of patients, for every interval.")] = 2000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Compare systems on the same cases, beside the mean predictor and shuffled inputs. Run again to go on after a stop."""
    if split_by not in ("patient", "shape"):
        raise ValueError(f"--split-by is {split_by!r}; wanted patient or shape")
    if n is not None and n < 2:
        raise ValueError(f"--n is {n}; wanted 2 or more")
    if resamples < 100:
        raise ValueError(f"--resamples is {resamples}; wanted at least 100")
    from spondyl.cli.evaluate_data import Choice, cases_in
    from spondyl.cli.evaluate_systems import alike, entrants_of
    from spondyl.evaluate import evaluate as run
    from spondyl.progress import progress_on

    entrants = entrants_of(systems, device)
    alike(entrants)
    with progress_on(sys.stderr, sys.stdout) as progress:
        asked = cases_in(data, entrants[0].system, Choice(split, split_by, n, tuple(exclude or ())))
        protocol = protocol_of(
            entrants, asked, seed, _command(systems, data, split, split_by, n, seed, exclude, resamples)
        )
        done = run(
            entrants, asked.cases, out, protocol=protocol, learnt=asked.learnt, resamples=resamples, progress=progress
        )
    show(done.table)
    typer.echo(f"wrote {out}: open {out / 'index.html'}")


def protocol_of(entrants: "Sequence[Entrant]", asked: "Asked", seed: int, command: str) -> "Protocol":
    """What the page and results.json say about this evaluation."""
    from spondyl.evaluate import Protocol, Weights

    return Protocol(
        data=asked.name,
        data_sha256=asked.sha256,
        split=asked.split,
        split_by=asked.split_by,
        cases=len(asked.cases),
        patients=len({case.patient for case in asked.cases}),
        seed=seed,
        mean_of=asked.mean_of,
        command=command,
        systems=tuple(Weights(e.name, e.system.name, e.origin, e.weights_sha256) for e in entrants),
        notes=asked.notes,
    )


def _command(
    systems: Sequence[str],
    data: Path,
    split: str,
    split_by: str,
    n: int | None,
    seed: int,
    exclude: Sequence[str] | None,
    resamples: int,
) -> str:
    """The command line that gives these results; the folder of results is left out, which changes nothing."""
    words = ["spondyl", "evaluate", *systems, "--data", str(data), "--split", split, "--split-by", split_by]
    words += [] if n is None else ["--n", str(n)]
    words += [word for name in exclude or () for word in ("--exclude", name)]
    return " ".join([*words, "--seed", str(seed), "--resamples", str(resamples)])


def show(table: "Table") -> None:
    """The table: drawn on a terminal, else one plain line a row."""
    from spondyl.evaluate.cells import HEADINGS, SHORT, cells, estimate, verdict
    from spondyl.evaluate.quantities import QUANTITIES

    rows = [(QUANTITIES[s.quantity], cells(s)[:SHORT]) for s in table.summaries]
    if not sys.stdout.isatty():
        for quantity, row in rows:
            told = "; ".join(
                f"{name.lower()} {cell}" for name, cell in zip(HEADINGS[1:SHORT], row[1:], strict=True) if cell != "–"
            )
            typer.echo(f"{quantity.title}{', ' + quantity.unit if quantity.unit else ''}: {row[0]}: {told}")
    else:
        from rich.console import Console
        from rich.table import Table as Grid

        grid = Grid(*HEADINGS[:SHORT], box=None, header_style="dim")
        for i, (quantity, row) in enumerate(rows):
            if i == 0 or rows[i - 1][0] != quantity:
                grid.add_row(f"[bold]{quantity.title}{', ' + quantity.unit if quantity.unit else ''}[/bold]")
            grid.add_row(*row)
        Console().print(grid)
    for d in table.differences[:6]:
        typer.echo(
            f"{QUANTITIES[d.quantity].title}: {d.first} minus {d.second} {estimate(d.estimate, sign=True)}: {verdict(d)}"
        )
