"""The commands and their flags, and `run`, which turns one command line into one exit code.

Exit codes: 0 done; 1 a fault of spondyl; 2 something in the input, the flags or the machine that one line names; 130 and
143 stopped by Ctrl-C and by SIGTERM. Only typer is imported here: `spondyl --help` answers before torch could load.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from spondyl import __version__
from spondyl.cli.cohort_commands import register
from spondyl.cli.evaluate_commands import register as register_evaluate
from spondyl.cli.stopping import failure_of, quiet, stoppable
from spondyl.cli.train_commands import register as register_train

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Spine imaging: radiographs from CT, spinal angles, virtual patients with exact truth.",
    epilog="Research software, not a medical device.",
)

CtArgument = Annotated[Path, typer.Argument(metavar="CT", help="DICOM folder, zip or file; NIfTI; MHA or NRRD.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is not there.")]
SchemeOption = Annotated[
    str, typer.Option(help="Numbering of the labels: auto, verse, totalsegmentator, ctspine1k, swinx2s or spondyl.")
]
SpacingOption = Annotated[
    float | None,
    typer.Option("--spacing", metavar="MM", help="Pixel spacing on the detector; default: the beam's own."),
]


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"spondyl {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command. `--debug` is read in `run`, wherever it stands."""


@app.command()
def project(
    ct: CtArgument,
    out: OutOption,
    labels: Annotated[Path | None, typer.Option(help="Vertebra labels: draws the spine, and tells bone.")] = None,
    label_scheme: SchemeOption = "auto",
    views: Annotated[
        str, typer.Option(help="Names or source angles in degrees from behind: pa,lateral,30.")
    ] = "pa,lateral",
    beam: Annotated[str, typer.Option(help="slot, cone, c-arm or parallel.")] = "slot",
    kvp: Annotated[float, typer.Option(help="Tube voltage, kV.")] = 90.0,
    ideal: Annotated[bool, typer.Option("--ideal", help="One energy; no scatter, blur or noise.")] = False,
    formats: Annotated[str, typer.Option("--format", help="Any of dicom,png,nifti.")] = "dicom,png",
    spacing: SpacingOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
) -> None:
    """Make calibrated radiographs from a CT."""
    from spondyl.pipeline import Exposing, project_study
    from spondyl.progress import progress_on

    exposing = Exposing.from_text(views, formats, beam=beam, kvp=kvp, ideal=ideal, spacing_mm=spacing, seed=seed)
    with progress_on(sys.stderr, sys.stdout) as progress:
        done = project_study(ct, out, labels=labels, scheme=label_scheme, exposing=exposing, progress=progress)
    _say(done.lines)


@app.command()
def measure(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="A film (DICOM, PNG, JPEG, TIFF), a folder of films; a CT with --labels."),
    ],
    out: OutOption,
    labels: Annotated[Path | None, typer.Option(help="Vertebra labels: IMAGE is their CT.")] = None,
    label_scheme: SchemeOption = "auto",
    view: Annotated[
        str | None,
        typer.Option(metavar="VIEW", help="What the film is, pa or lateral; default: as the file says or looks."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another reader of films, as training writes it.")
    ] = None,
) -> None:
    """Measure spinal angles in films, or in a labelled CT."""
    from spondyl.progress import progress_on

    if labels is not None and (view is not None or weights is not None):
        raise ValueError("--view and --weights belong to films, --labels to a CT; give the one or the other")
    if labels is None and not image.exists():
        raise typer.BadParameter(f"{image} is not there; wanted a film, a folder of films, or a CT with its --labels")
    if labels is None and label_scheme != "auto":
        raise ValueError("--label-scheme belongs to the --labels of a CT; give them, or leave it out")
    with progress_on(sys.stderr, sys.stdout) as progress:
        if labels is not None:
            from spondyl.pipeline import measure_study

            lines: Sequence[str] = measure_study(image, labels, out, scheme=label_scheme, progress=progress).lines
        else:
            from spondyl.pipeline.film_verbs import film_view, measure_images

            lines = measure_images(image, out, view=film_view(view), weights=weights, progress=progress).lines
    _say(lines)


@app.command()
def demo(
    out: OutOption = Path("spondyl-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
) -> None:
    """Image a virtual patient, measure it, and compare with its design."""
    from spondyl import pipeline
    from spondyl.progress import progress_on

    with progress_on(sys.stderr, sys.stdout) as progress:
        done = pipeline.demo(out, seed=seed, progress=progress)
    _say(done.lines)


register(app)
register_train(app)
register_evaluate(app)


@app.command()
def doctor() -> None:
    """Show versions, devices, free memory and what is missing."""
    from spondyl.doctor import examine

    findings = examine()
    width = max(len(finding.topic) for finding in findings)
    colours = {"ok": typer.colors.GREEN, "missing": typer.colors.YELLOW, "problem": typer.colors.RED}
    for finding in findings:
        state = typer.style(f"{finding.state:<8}", fg=colours[finding.state])
        typer.echo(f"{state}{finding.topic:<{width + 2}}{finding.text}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(2)


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code. Errors are one line on stderr."""
    debug = "--debug" in arguments
    rest = [word for word in arguments if word != "--debug"] or ["--help"]
    try:
        with stoppable(), quiet(not debug):
            code = app(rest, prog_name="spondyl", standalone_mode=False)
    except BaseException as error:
        if debug:
            raise
        failure = failure_of(error, f"spondyl {rest[0]}" if rest[0] in COMMANDS else "spondyl")
        sys.stderr.write(f"spondyl: {failure.line}\n")
        return failure.code
    return code if isinstance(code, int) else 0


COMMANDS = ("project", "measure", "demo", "simulate", "validate", "train", "evaluate", "doctor")


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
