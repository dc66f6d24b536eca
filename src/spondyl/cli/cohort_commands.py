"""The commands for cohorts: `simulate` makes one, `validate` checks one."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spondyl.executors import Failure
    from spondyl.simulate import Job, Runner

MOST_NAMED = 5

CountOption = Annotated[int, typer.Option("--count", "-n", help="How many cases.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the cohort; made if it is not there.")]
SpacingOption = Annotated[float, typer.Option("--spacing", metavar="MM", help="Voxel spacing of the CT, 0.3 to 10.")]
ScanOption = Annotated[
    Path | None, typer.Option("--from-ct", metavar="CT", help="Bend this scan instead of drawing bodies.")
]
LabelsOption = Annotated[Path | None, typer.Option(help="Vertebra labels of that scan, on its grid.")]
WorkersOption = Annotated[int | None, typer.Option(help="Processes; default: as cores and free memory allow.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command()(simulate)
    app.command()(validate)


def simulate(
    count: CountOption,
    out: OutOption,
    seed: Annotated[int, typer.Option(help="Another seed, other patients.")] = 0,
    cohort: Annotated[str, typer.Option(help="normal, screening, surgical or adult.")] = "screening",
    modalities: Annotated[
        str, typer.Option(help="Any of ct,pa,lateral,ultrasound,rgbd.")
    ] = "ct,pa,lateral,ultrasound,rgbd",
    spacing: SpacingOption = 2.0,
    from_ct: ScanOption = None,
    labels: LabelsOption = None,
    label_scheme: Annotated[str, typer.Option(help="Numbering of the labels: auto, verse, totalseg, ...")] = "auto",
    cobb: Annotated[float | None, typer.Option(metavar="DEG", help="Largest Cobb angle of every patient.")] = None,
    age: Annotated[float | None, typer.Option(metavar="YEARS", help="Age of every patient.")] = None,
    sex: Annotated[str | None, typer.Option(help="female or male.")] = None,
    curve_type: Annotated[str | None, typer.Option(help="Lenke-like 1 to 6, or none.")] = None,
    stance: Annotated[str, typer.Option(help="standing or supine.")] = "standing",
    shapes: Annotated[str, typer.Option(help="any, or held-out: a test set of shapes not in training.")] = "any",
    vary: Annotated[bool, typer.Option(help="Draw each sensor's settings anew for every case.")] = True,
    shard: Annotated[int, typer.Option(metavar="N", help="Cases a tar file; default: 16 with CT, 256 without.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Simulate a cohort of patients with exact truth. Run again to go on after a stop."""
    from spondyl.progress import progress_on
    from spondyl.simulate import Job, Plan, Scan, scan_hash
    from spondyl.simulate import simulate as make

    if (from_ct is None) != (labels is None):
        raise ValueError("--from-ct and --labels belong together; give both or neither")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; wanted 1 or more")
    scan = Scan(from_ct, labels, label_scheme) if from_ct is not None and labels is not None else None
    plan = Plan(
        count=count,
        seed=seed,
        cohort=cohort,
        modalities=tuple(modalities.split(",")),
        spacing_mm=spacing,
        vary=vary,
        sex=sex,
        age_years=age,
        cobb_deg=cobb,
        curve_type=curve_type,
        stance=stance,
        shapes=shapes,
        scan="" if scan is None else scan_hash(scan),
        cases_per_shard=shard,
    )
    job = Job(plan, out, scan)
    with progress_on(sys.stderr, sys.stdout) as progress:
        made = make(job, run=runner(job, workers), progress=progress)
    for note in made.notes:
        typer.echo(f"note: {note}")
    if made.failed:
        named = "; ".join(f"case {f.unit}: {f.reason}" for f in made.failed[:MOST_NAMED])
        more = f"; and {len(made.failed) - MOST_NAMED} more" if len(made.failed) > MOST_NAMED else ""
        raise ValueError(f"{len(made.failed)} of {made.cases} cases were not made ({named}{more}); the others are kept")
    typer.echo(f"SIMULATED: {made.cases} cases of {', '.join(plan.modalities)}, {made.new} of them made now")
    typer.echo(f"wrote {out}: open {out / 'index.html'}")


def validate(cohort: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `simulate` made.")]) -> None:
    """Check a cohort: files, hashes, ranges, and every truth against its spine. Exit code 2 where something is wrong."""
    from spondyl.progress import progress_on
    from spondyl.simulate import validate_cohort

    with progress_on(sys.stderr, sys.stdout) as progress:
        checked = validate_cohort(cohort, progress=progress)
    for fault in checked.faults:
        typer.echo(str(fault))
    if checked.faults:
        raise ValueError(f"{cohort} has {len(checked.faults)} fault{'s' * (len(checked.faults) > 1)}")
    typer.echo(f"{cohort} is whole: {checked.cases} cases, {checked.files} files, every truth agrees with its spine")


def runner(job: "Job", workers: int | None) -> "Runner":
    """The local executor with the workers and the memory that this job asks for."""
    from spondyl.executors import run_cases

    def run(ids: Sequence[int], work: str, *, settings: str, on_done: Callable[[int], None]) -> "tuple[Failure, ...]":
        return run_cases(ids, work, settings=settings, workers=workers, memory_gb=job.plan.memory_gb, on_done=on_done)

    return run
