"""The command line: parse, call, print. No logic lives here.

Libraries that are slow to import are imported by the command that needs them, so that
`petcast --help` answers at once. Results go to standard output, everything else to standard
error; `--json` prints one document on standard output and nothing else.
"""

import errno
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import petcast
from petcast import tables
from petcast.errors import PetcastError

app = typer.Typer(
    name="petcast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its traceback would print local variables: identities
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Cast a PET from a CT: HU in, SUV out. Research only; a PET made from a CT measures "
    "no tracer.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Folders = Annotated[
    list[Path], typer.Argument(metavar="DIR…", help="Folders or zips of DICOM, or NIfTI cohorts.")
]
Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, cuda:1 …")]


def main() -> None:
    """Run the command line; the exit status is that of DESIGN's contract."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except PetcastError as error:
        _fail(str(error), error.exit_status)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.strerror}: {error.filename or 'while writing'}; nothing was damaged", 3)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that stand before a command."""
    if version:
        typer.echo(petcast.__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=3, help="Phantom patients.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the cohort, the split and the training.")] = 0,
) -> None:
    """Walk the whole way on phantom patients.

    DICOM, pairs, training, a synthetic PET in SUV, evaluation, report.

    Example: petcast demo --out demo
    """
    from petcast.demo import run_demo

    result = run_demo(out, patients=patients, seed=seed, tell=_say)
    tables.print_table("On patients it never saw", result.evaluation.table())
    typer.echo(f"The report: {result.report}")


@app.command()
def models(as_json: Json = False) -> None:
    """List the generators and their size.

    Stages, parameters, and GFLOP for a slice of 256 x 256 voxels.

    Example: petcast models
    """
    from petcast.models.describe import describe_all

    document = describe_all()
    if as_json:
        _print_json(document)
        return
    rows = [
        [m["name"], str(m["stages"]), f"{m['parameters']:,}", f"{m['gflop']:.2f}"]
        for m in document["models"]
    ]
    tables.print_table("Generators", [["name", "stages", "parameters", "GFLOP"], *rows])
    discriminator = document["discriminator"]
    typer.echo(f"Discriminator: {discriminator['name']}, {discriminator['parameters']:,}")


@app.command()
def scan(
    folders: Folders,
    where: Annotated[
        bool, typer.Option("--where", help="Say which folder each row stands for; it may name one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what can be used, and of the rest, why not.

    Every series and study, usable or refused with a reason code.

    Example: petcast scan /data/petct
    """
    from petcast.survey import survey

    document = survey(_existing(folders), where=where)
    _print_json(document) if as_json else tables.print_scan(document)
    if not any(study["status"] == "usable" for study in document["studies"]):
        raise typer.Exit(3)


@app.command()
def suv(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of DICOM PET.")],
    mask: Annotated[
        Path | None, typer.Option(help="A NIfTI mask; only voxels inside it are counted.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the SUV of each PET, and its rules.

    Maximum, minimum and median in g/mL, and which rule gave the time and the factor.

    Example: petcast suv /data/petct/PT --mask lesion.nii.gz
    """
    from petcast.dicom.suv import measure_suv

    [folder] = _existing([folder])
    document = measure_suv(folder, mask)
    if as_json:
        _print_json(document)
        return
    columns = ["path", "max", "min", "median", "factor_rule", "time_rule"]
    tables.print_rows("SUV in g/mL", columns, document["series"])


@app.command()
def prepare(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="The folder of pairs; the same call again resumes.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe whose [preparation] is used (mm, voxels).")
    ] = "published",
    split: Annotated[
        Path | None, typer.Option(help="A CSV file `patient,part` with train/validation/test.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Tumour boxes of Lung-PET-CT-Dx: a folder or zip of XML.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one a core by default.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="A Dask scheduler whose workers do it: tcp://HOST:8786.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="preparation.margin_mm=30 and the like.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn usable studies into aligned slice pairs.

    CT in HU and PET in SUV on a grid of 2 mm, divided by patient.

    Example: petcast prepare /data/petct --out pairs
    """
    from petcast.cluster import connected
    from petcast.prepare import prepare as prepare_pairs
    from petcast.recipe import load_recipe

    knobs = load_recipe(recipe, settings or ()).preparation
    with connected(cluster, [*_existing(folders), out], workers) as hands:
        pairs = prepare_pairs(
            folders,
            out,
            knobs,
            split_file=split,
            boxes=boxes,
            workers=hands.workers,
            executor=hands.executor,
        )
    for remark in tables.registration_remarks(pairs.index):
        _say(remark)
    if as_json:
        _print_json(pairs.index)
    else:
        tables.print_pairs(pairs.index)
        _say(pairs.index["split"].get("note", ""))
        typer.echo(f"The pairs: {out}. Next: petcast train tiny --data {out} --out run")


@app.command()
def audit(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="A folder of pairs.")],
    as_json: Json = False,
) -> None:
    """Say what leaks from one part into another.

    Patients, studies and slices in two parts, here and under the published split, and the PSNR
    in dB that copying the SUV of a neighbour has there. Exit 3: the pairs leak.

    Example: petcast audit pairs
    """
    from petcast.audit import audit as audit_pairs
    from petcast.pairs import Pairs

    found = audit_pairs(Pairs.open(pairs))
    if as_json:
        _print_json(found.to_json())
    else:
        tables.print_table("In two parts", found.table())
        for line in found.sentences():
            typer.echo(line)
    if not found.clean:
        raise typer.Exit(3)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a built-in.")],
    data: Annotated[Path, typer.Option(help="A folder of pairs.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same call again resumes.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a knob: training.epochs=20, model.name=Stage07 …"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a generator on pairs, or go on.

    Interrupted at any moment, the same call ends in the same weights. Progress in epochs.

    Example: petcast train recipes/tiny.toml --data pairs --out run
    """
    from petcast.recipe import load_recipe
    from petcast.train import train as train_recipe

    rows = train_recipe(load_recipe(recipe, settings or ()), data, out)
    if as_json:
        _print_json({"run": str(out), "epochs": rows})
        return
    tables.print_epochs(rows)
    typer.echo(f"The run: {out}. Next: petcast evaluate --truth {data} --predictions {out}")


@app.command()
def predict(
    ct: Annotated[Path, typer.Argument(metavar="CT", help="DICOM folder, zip, or NIfTI in HU.")],
    model: Annotated[Path, typer.Option(help="A run's folder.")],
    out: Annotated[Path, typer.Option(help="The PET to write: a .nii.gz file in SUV.")],
    last: Annotated[bool, typer.Option("--last", help="The last epoch, not the best.")] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Cast a synthetic PET in SUV from a CT in HU.

    The PET comes on the CT's own geometry. Research only.

    Example: petcast predict /data/ct --model run --out pet.nii.gz
    """
    from petcast.predict import predict as predict_ct

    [ct] = _existing([ct])
    summary = predict_ct(ct, model, out, which="last" if last else "best", device=device).to_json()
    if as_json:
        _print_json({"path": str(out), **summary})
        return
    for warning in summary["warnings"]:
        _say(f"warning: {warning}")
    typer.echo(f"{out}: SUV {summary['suv_min']:.2f} to {summary['suv_max']:.2f}")


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Pairs, or the real PET: NIfTI or DICOM, in SUV.")],
    predictions: Annotated[Path, typer.Option(help="A run, or predicted PET: NIfTI or DICOM.")],
    ct: Annotated[
        Path | None, typer.Option(help="The CT of foreign files, in HU: it shows the body.")
    ] = None,
    part: Annotated[str, typer.Option(help="Of pairs: train, validation or test.")] = "test",
    names: Annotated[
        bool, typer.Option("--names", help="Call foreign cases by their file names, not hashes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure predictions, with intervals.

    In SUV and on the paper's [0, 1] scale, beside images that know nothing of the CT.

    Example: petcast evaluate --truth pairs --predictions run
    """
    from petcast.evaluate import evaluate as evaluate_paths

    [truth, predictions] = _existing([truth, predictions])
    evaluation = evaluate_paths(truth, predictions, ct=ct, part=part, named=names)
    if as_json:
        _print_json(evaluation.to_json())
        return
    tables.print_table("Metrics with 95 % intervals over patients", evaluation.table())
    for warning in evaluation.to_json()["warnings"]:
        _say(f"{warning['code']}: {warning['detail']}")


@app.command()
def study(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a built-in.")],
    data: Annotated[Path, typer.Option(help="A folder of pairs, divided in any way.")],
    out: Annotated[Path, typer.Option(help="The study's folder; the same call again resumes.")],
    models: Annotated[
        str | None, typer.Option(help="Only these, with commas: U-Net,Stage01 …")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's training.epochs.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a knob: loss.adversarial=0 …")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Of a finished run: best (its chosen weights), all, or none.")
    ] = "best",
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Train nothing; write what is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the paper's thirteen generators twice, and write its tables and figures.

    As published (slices shuffled, best of the test epochs) and as it should be (patients apart,
    with intervals). SSIM, PSNR in dB, MAE; a page that opens without network.

    Example: petcast study recipes/published.toml --data pairs --out study --epochs 2
    """
    from petcast.recipe import load_recipe
    from petcast.report import write_report
    from petcast.study import choose, keep_of, run_study, write_tables

    if only_tables:
        done = write_tables(out)
    else:
        overrides = [*(settings or ()), *([f"training.epochs={epochs}"] if epochs else [])]
        knobs, names, kept = load_recipe(recipe, overrides), choose(models), keep_of(keep)
        [data] = _existing([data])
        done = run_study(knobs, data, out, generators=names, keep=kept, tell=_say)
    page = write_report(out, out / "study.html")
    if as_json:
        _print_json(done.results)
        return
    for title, rows in done.printed():
        tables.print_table(title, rows)
    typer.echo(f"The study: {page}")


@app.command()
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|STUDY", help="A trained, evaluated run, or a study.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write; it opens without network.")],
) -> None:
    """Write one self-contained HTML page.

    Verdict, table, curves, pictures in HU and SUV, how CT lies on PET, provenance.

    Example: petcast report run --out report.html
    """
    from petcast.report import write_report

    [run] = _existing([run])
    typer.echo(f"The report: {write_report(run, out)}")


@app.command()
def archive(
    collection: Annotated[str, typer.Argument(help="A public collection: lung-pet-ct-dx.")],
    download: Annotated[
        Path | None, typer.Option(help="Fetch the usable series into this folder (tens of GB).")
    ] = None,
    subjects: Annotated[
        list[str] | None, typer.Option(help="Fetch only these subjects; may be repeated.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Fetch from here instead: https://host/{bucket}.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what of a public collection is usable, or fetch it.

    Subjects, series, slices and gigabytes, from an index that is read offline.

    Example: petcast archive lung-pet-ct-dx
    """
    from petcast import archive as archives

    if download is not None:
        there = mirror or archives.ENDPOINT
        report = archives.download(collection, download, subjects or None, endpoint=there)
        _print_json(report.to_json()) if as_json else typer.echo(f"Fetched into {report.out}")
        return
    summary = archives.summarise(collection)
    if as_json:
        _print_json(summary.to_json())
        return
    tables.print_table("Usable", summary.table())
    tables.print_table("Refused in the index", summary.refused_table())


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Where the cohort is written.")],
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    ct_size: Annotated[int, typer.Option(help="Voxels across a CT slice of 500 mm.")] = 512,
) -> None:
    """Write synthetic PET/CT patients as DICOM.

    CT in HU, PET in Bq/mL or counts, and the truth beside them.

    Example: petcast phantom --out cohort --patients 20
    """
    from petcast.phantom import write_cohort

    write_cohort(out, patients, seed, ct_size=ct_size)
    typer.echo(f"{patients} patients in {out}. Next: petcast scan {out / 'dicom'}")


def _existing(paths: Sequence[Path]) -> list[Path]:
    """The paths, if all are there."""
    from petcast.errors import UsageError

    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} is not there")
    return list(paths)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _fail(text: str, status: int) -> None:
    _say(f"petcast: {text}")
    raise SystemExit(status)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
