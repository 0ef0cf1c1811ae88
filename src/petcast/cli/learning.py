"""Commands about models: from pairs to a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petcast.cli import tables
from petcast.cli.common import Device, Json, existing, next_step, print_json, say
from petcast.progress import speaks
from petcast.words import count

if TYPE_CHECKING:
    from petcast.recipe import Recipe

RecipeName = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A TOML file, or built-in: tiny, best, published, demo."),
]


def demo(
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=3, help="Phantom patients.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the cohort, split and training.")] = 0,
) -> None:
    """Walk the whole way on phantom patients.

    DICOM, pairs, training, a synthetic PET in SUV, evaluation, report.

    Example: petcast demo --out demo
    """
    from petcast.demo import run_demo

    result = run_demo(out, patients=patients, seed=seed, tell=say)
    tables.print_table("On patients it never saw", result.evaluation.table())
    typer.echo(f"The report: {result.report}")
    typer.echo(f"The model card: {result.card}")


def models(as_json: Json = False) -> None:
    """List the generators and their size.

    Stages, parameters, and GFLOP for a slice of 256 x 256 voxels.

    Example: petcast models
    """
    from petcast.models.describe import describe_all

    document = describe_all()
    if as_json:
        print_json(document)
        return
    rows = [
        [m["name"], str(m["stages"]), f"{m['parameters']:,}", f"{m['gflop']:.2f}"]
        for m in document["models"]
    ]
    tables.print_table("Generators", [["name", "stages", "parameters", "GFLOP"], *rows])
    discriminator = document["discriminator"]
    typer.echo(f"Discriminator: {discriminator['name']}, {discriminator['parameters']:,}")


def train(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="A folder of pairs.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same call again resumes.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a knob, as training.epochs=20; may be repeated."),
    ] = None,
    pretraining: Annotated[
        Path | None,
        typer.Option(help="Where what was learned from phantoms is kept, for runs to share."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a generator on pairs, or go on.

    Interrupted at any moment, the same call ends in the same weights. Progress in epochs.

    Example: petcast train tiny --data pairs --out run
    """
    from petcast.recipe import load_recipe
    from petcast.train import train as train_recipe

    overrides = settings or ()
    knobs = load_recipe(recipe, overrides)
    _mind_device(knobs)
    rows = train_recipe(knobs, data, out, pretraining, overrides)
    if not speaks():
        return
    if as_json:
        print_json({"run": str(out), "epochs": rows})
        return
    tables.print_epochs(rows)
    tested = not rows or rows[-1]["test"]
    part = () if tested else ("--part", "validation" if rows[-1]["validation"] else "train")
    step = next_step("evaluate", "--truth", data, "--predictions", out, *part)
    typer.echo(f"The run: {out}. {step}")


def predict(
    ct: Annotated[Path, typer.Argument(metavar="CT", help="DICOM folder, zip, or NIfTI in HU.")],
    model: Annotated[Path, typer.Option(help="A run's folder.")],
    out: Annotated[
        Path, typer.Option(help="The PET in SUV: a .nii.gz file, or a folder for DICOM.")
    ],
    last: Annotated[bool, typer.Option("--last", help="The last epoch, not the best.")] = False,
    stages: Annotated[
        int | None, typer.Option(min=1, help="Run only the first K stages; the K-th is the PET.")
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(help="Half-width of the 90 % interval in SUV: a file or folder like --out."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Cast a synthetic PET in SUV from a CT in HU.

    The PET comes on the CT's own geometry; with --uncertainty, so does the half-width of the
    interval that holds 90 % of the body's voxels (see petcast calibrate). A CT that came as DICOM
    gives a DICOM PET series where --out names a folder: it names the patient as the CT does, and
    calls itself SYNTHETIC PET (AI) - NOT FOR DIAGNOSIS. Research only.

    Example: petcast predict /data/ct --model run --out pet.nii.gz

    Example: petcast predict /data/ct --model run --out pet
    """
    from petcast.predict import is_nifti
    from petcast.uncertainty import predict_either

    [ct] = existing([ct])
    summary = predict_either(
        ct, model, out, uncertainty, last=last, device=device, stages=stages
    ).to_json()
    if as_json:
        print_json({"path": str(out), **summary})
        return
    for warning in summary["warnings"]:
        say(f"warning: {warning}")
    series = "" if is_nifti(out) else f"{count(summary['shape'][0], 'DICOM file')}, "
    typer.echo(f"{out}: {series}SUV {summary['suv_min']:.2f} to {summary['suv_max']:.2f}")


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training's folder.")],
    data: Annotated[Path, typer.Option(help="Pairs: their validation patients calibrate.")],
    way: Annotated[
        str | None,
        typer.Option(
            help="uptake, quantiles, stages, dropout, augmented or ensemble; by default quantiles "
            "of a run that gives them, uptake of any other."
        ),
    ] = None,
    passes: Annotated[int, typer.Option(min=2, help="Of dropout: how many passes.")] = 8,
    seed: Annotated[int, typer.Option(help="Of dropout.")] = 0,
    model: Annotated[
        list[Path] | None, typer.Option(help="Of an ensemble: another run; may be repeated.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how far a run's PET may be off, and keep it in the run.

    Finds the intervals in SUV that hold 90 % of the body's voxels of patients that the run was not
    trained on. petcast predict --uncertainty and petcast evaluate use them.

    Example: petcast calibrate run --data pairs
    """
    from petcast.uncertainty import calibrate_run, method_of

    [run, data] = existing([run, data])
    method = method_of(way, run, passes=passes, seed=seed)
    made = calibrate_run(run, data, method, others=existing(model or []), device=device)
    if as_json:
        print_json(made.to_json())
        return
    tables.print_table("Intervals that hold 90 % of the body's voxels", made.table())
    for warning in made.warnings:
        say(f"warning: {warning}")
    typer.echo(next_step("evaluate", "--truth", data, "--predictions", run))


def evaluate(
    truth: Annotated[
        Path, typer.Option(help="Pairs, or the real PET in SUV: NIfTI, DICOM, PNG or .npy.")
    ],
    predictions: Annotated[
        Path, typer.Option(help="A run, or predicted PET: NIfTI, DICOM, PNG or .npy.")
    ],
    ct: Annotated[
        Path | None, typer.Option(help="The CT of foreign files, in HU: it shows the body.")
    ] = None,
    lesions: Annotated[
        Path | None, typer.Option(help="Lesion masks of foreign files: NIfTI, not 0 inside.")
    ] = None,
    part: Annotated[str, typer.Option(help="Of pairs: train, validation or test.")] = "test",
    suv_window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Of PNG and .npy: SUV at the lowest and highest stored value."
        ),
    ] = None,
    stored: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Those values, where they are not 0 and 255, 65535, or 1 (float).",
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Of PNG and .npy: SUV of one stored unit.")
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Of PNG and .npy: size of a voxel in mm."),
    ] = None,
    no_lesions: Annotated[
        bool, typer.Option("--no-lesions", help="Of foreign files: neither find nor measure any.")
    ] = False,
    names: Annotated[
        bool, typer.Option("--names", help="Call foreign cases by their file names, not hashes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Of foreign files: a folder for JSON, CSV and pictures.")
    ] = None,
    perceptual: Annotated[
        Path | None,
        typer.Option(help="Weights (safetensors) of AlexNet or VGG16: adds LPIPS and Fréchet."),
    ] = None,
    perceptual_sha256: Annotated[
        str | None, typer.Option(help="The SHA-256 of that file; others are refused.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure predictions, with intervals.

    In SUV and on the paper's [0, 1] scale, beside images that know nothing of the CT.

    Example: petcast evaluate --truth pairs --predictions run
    """
    from petcast.evaluate import Declared, Weights
    from petcast.evaluate import evaluate as evaluate_paths

    [truth, predictions] = existing([truth, predictions])
    declared = Declared(scale, suv_window, stored, spacing)
    evaluation = evaluate_paths(
        truth,
        predictions,
        ct=ct,
        lesions=lesions,
        part=part,
        named=names,
        declared=declared,
        out=out,
        weights=Weights.asked(perceptual, perceptual_sha256),
        with_lesions=not no_lesions,
    )
    if as_json:
        print_json(evaluation.to_json())
        return
    tables.print_table("Metrics with 95 % intervals over patients", evaluation.table())
    if line := evaluation.lesion_line(evaluation.about["model"]):
        typer.echo(line)
    if line := evaluation.frechet_line():
        typer.echo(line)
    for warning in evaluation.warnings:
        say(f"{warning.code}: {warning.detail}")
    kept = out or (predictions if (predictions / "evaluation").is_dir() else None)
    if kept:
        typer.echo(next_step("report", kept, "--out", "report.html"))


def study(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="A folder of pairs, divided in any way.")],
    out: Annotated[Path, typer.Option(help="The study's folder; the same call again resumes.")],
    models: Annotated[
        str | None, typer.Option(help="Only these, with commas: U-Net,Stage01 …")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's training.epochs.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a knob, as loss.adversarial=0; may be repeated."),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Of a finished run: best (its chosen weights), all, or none.")
    ] = "best",
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Train nothing; write what is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the paper's thirteen generators twice.

    By the published protocol as petcast reads it (slices shuffled, best of the test epochs) and as
    it should be (patients apart, with intervals). The paper's tables and figures: SSIM, PSNR in dB,
    MAE; a page that opens without network.

    Example: petcast study published --data pairs --out study --epochs 2
    """
    from petcast.errors import UsageError
    from petcast.recipe import load_recipe
    from petcast.report import write_report
    from petcast.study import choose, keep_of, run_study, write_tables

    if only_tables and (models is not None or epochs or settings or keep != "best"):
        raise UsageError(
            "--models, --epochs, --set and --keep say what is trained, and --only-tables trains "
            "nothing: it writes all that is there, by the study's own recipe; leave one of the "
            "two away"
        )
    if only_tables:
        done = write_tables(out)
    else:
        overrides = [*(settings or ()), *([f"training.epochs={epochs}"] if epochs else [])]
        knobs, names, kept = load_recipe(recipe, overrides), choose(models), keep_of(keep)
        [data] = existing([data])
        _mind_device(knobs)
        done = run_study(
            knobs, data, out, generators=names, keep=kept, settings=overrides, tell=say
        )
    page = write_report(out, out / "study.html")
    if as_json:
        print_json(done.results)
        return
    for title, rows in done.printed():
        tables.print_table(title, rows)
    typer.echo(f"The study: {page}")


def _mind_device(recipe: "Recipe") -> None:
    from petcast.device import choose_device, imitates_bfloat16, passed_over

    device = choose_device(recipe.training.device)
    if recipe.training.device == "auto" and (told := passed_over()) and speaks():
        say(f"warning: {told}")
    if recipe.engine.precision == "bfloat16" and imitates_bfloat16(device) and speaks():
        say(
            "warning: this machine has no instructions for bfloat16 and imitates it, which takes "
            "several times as long as float32; --set engine.precision=float32 gives the same "
            "within rounding"
        )


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|EVALUATION|STUDY",
            help="A run, what `petcast evaluate --out` wrote, or a study.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page to write; it opens without network.")],
    card: Annotated[
        Path | None,
        typer.Option(help="The model card, too: a Markdown file with the same numbers."),
    ] = None,
) -> None:
    """Write one self-contained HTML page, and a model card.

    Verdict, tables, worst cases, pictures in HU and SUV, lesions, agreement, artefacts, provenance.

    Example: petcast report run --out report.html --card MODEL_CARD.md
    """
    from petcast.report import write_report

    [run] = existing([run])
    typer.echo(f"The report: {write_report(run, out, card)}")
    if card is not None:
        typer.echo(f"The model card: {card}")
