"""Commands about data: from an export to pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from petcast.cli import tables
from petcast.cli.common import Folders, Json, existing, next_step, print_json, say


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
    from petcast.prepare.cohort import NOTHING_FOUND
    from petcast.scan import survey
    from petcast.words import count

    document = survey(existing(folders), where=where)
    print_json(document) if as_json else tables.print_scan(document)
    if not any(document.values()):
        say(f"{', '.join(map(str, folders))}: {NOTHING_FOUND}")
    usable = sum(study["status"] == "usable" for study in document["studies"])
    if not usable:
        raise typer.Exit(3)
    if not as_json:
        studies = count(len(document["studies"]), "study", "studies")
        step = next_step("prepare", *folders, "--out", "pairs")
        typer.echo(f"{usable} of {studies} can be used. {step}")


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

    [folder, *_] = existing([folder, *([mask] if mask else [])])
    document = measure_suv(folder, mask)
    if as_json:
        print_json(document)
        return
    # The first column is never wrapped: a path is copied from here
    columns = ["path", "id", "max", "min", "median", "factor_rule", "time_rule"]
    columns += ["uptake_minutes", "detail"]
    tables.print_rows("SUV in g/mL", columns, document["series"])
    for row in document["series"]:
        for note in row.get("notes", ()):
            say(f"{row['id']}: {note}")


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
        list[str] | None,
        typer.Option(
            "--set", help="Override a knob, as preparation.margin_mm=30; may be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn usable studies into aligned slice pairs.

    CT in HU and PET in SUV on a grid of 2 mm, divided by patient.

    Example: petcast prepare /data/petct --out pairs
    """
    from petcast.audit import leak_of
    from petcast.prepare import prepare as prepare_pairs
    from petcast.recipe import load_recipe
    from petcast.workers.cluster import connected

    knobs = load_recipe(recipe, settings or ()).preparation
    with connected(cluster, [*existing(folders), out], workers) as pool:
        pairs = prepare_pairs(
            folders,
            out,
            knobs,
            split_file=split,
            boxes=boxes,
            workers=pool.workers,
            executor=pool.executor,
        )
    for remark in tables.registration_remarks(pairs.index):
        say(remark)
    if as_json:
        print_json(pairs.index)
    else:
        tables.print_pairs(pairs.index)
        say(pairs.index["split"].get("note", ""))
    leak = leak_of(pairs)
    if leak:
        say(leak)
    elif not as_json:
        typer.echo(f"The pairs: {out}. {_use_of(pairs.index['parts'], out)}")


def _use_of(parts: Mapping[str, Sequence[str]], out: Path) -> str:
    if parts["train"]:
        return next_step("train", "tiny", "--data", out, "--out", "run")
    part = () if parts["test"] else ("--part", "validation")
    step = next_step("evaluate", "--truth", out, "--predictions", "run", *part)
    return f"Nobody trains in them: take a run that other pairs trained. {step}"


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
        print_json(found.to_json())
    else:
        tables.print_table("In two parts", found.table())
        for line in found.sentences():
            typer.echo(line)
    if not found.clean:
        raise typer.Exit(3)


def archive(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="lung-pet-ct-dx.")],
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
    from petcast.errors import UsageError

    if download is not None:
        there = mirror or archives.ENDPOINT
        report = archives.download(collection, download, subjects or None, endpoint=there)
        if as_json:
            print_json(report.to_json())
            return
        typer.echo(f"Fetched into {report.out}. {next_step('scan', report.out)}")
        return
    if subjects or mirror:
        raise UsageError(
            "--subjects and --mirror say what --download DIR fetches; without it the whole "
            "collection is counted"
        )
    summary = archives.summarise(collection)
    if as_json:
        print_json(summary.to_json())
        return
    tables.print_table("Usable", summary.table())
    tables.print_table("Refused in the index", summary.refused_table())


def phantom(
    out: Annotated[Path, typer.Option(help="Where the cohort is written.")],
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    ct_size: Annotated[int, typer.Option(help="Voxels across a CT slice of 500 mm.")] = 512,
    slice_step_mm: Annotated[
        float | None, typer.Option(help="Between slices; each scanner's own if not given.")
    ] = None,
) -> None:
    """Write synthetic PET/CT patients as DICOM.

    CT in HU, PET in Bq/mL or counts, and the truth beside them.

    Example: petcast phantom --out cohort --patients 20
    """
    from petcast.phantom import write_cohort
    from petcast.words import count

    write_cohort(out, patients, seed, ct_size=ct_size, slice_step_mm=slice_step_mm)
    typer.echo(f"{count(patients, 'patient')} in {out}. {next_step('scan', out / 'dicom')}")
