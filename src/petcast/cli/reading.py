"""The command about readers: experts judge PET blindly."""

from pathlib import Path
from typing import Annotated

import typer

from petcast.cli import tables
from petcast.cli.common import Device, Json, existing, next_step, print_json, say


def reading(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN…]", help="Whose synthetic PET are shown beside real ones."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder of pairs.")] = None,
    out: Annotated[Path, typer.Option(help="The reading's folder.")] = Path("reading"),
    slices: Annotated[
        int, typer.Option(min=1, help="How many, each as real PET and as each run's.")
    ] = 24,
    part: Annotated[str, typer.Option(help="Whose: test, validation or train.")] = "test",
    suv_max: Annotated[float, typer.Option(help="The SUV that is black.")] = 7.0,
    seed: Annotated[int, typer.Option(help="Of the slices and their order.")] = 0,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="A file that a reader sent back; once for each. Scores the reading."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Let experts judge PET blindly, real and synthetic mixed.

    First a page for readers, with its key apart; then, with their answers, scores: told apart (area
    under ROC), quality 1 to 5, what disturbs, agreement.

    Example: petcast reading run --data pairs --out reading

    Example: petcast reading --out reading --answers answers-AB.json
    """
    from petcast.errors import UsageError

    if answers:
        if runs or data:
            raise UsageError(
                "--answers scores the reading in --out, to which RUN and --data belong already; "
                "leave one of the two away"
            )
        _score(out, existing(answers), as_json)
        return
    if not runs or data is None:
        raise UsageError(
            "a reading is made of runs and pairs: petcast reading RUN --data PAIRS --out READING; "
            "one that is there is scored: petcast reading --out READING --answers FILE"
        )
    from petcast.reading import make_reading

    [data, *runs] = existing([data, *runs])
    made = make_reading(
        data, runs, out, slices=slices, part=part, suv_max=suv_max, seed=seed, device=device
    )
    for note in made.notes:
        say(f"note: {note}")
    if as_json:
        print_json({"page": str(made.page), "key": str(made.key), "pictures": made.pictures,
                    "notes": list(made.notes)})  # fmt: skip
        return
    typer.echo(f"For the readers: {made.page} ({made.pictures} pictures). Keep {made.key}.")
    typer.echo(next_step("reading", "--out", out, "--answers", "answers-NAME.json"))


def _score(out: Path, answers: list[Path], as_json: bool) -> None:
    from petcast.reading import printed, score_reading

    document = score_reading(out, answers)
    for note in document["notes"]:
        say(f"note: {note}")
    if as_json:
        print_json(document)
        return
    for title, rows in printed(document):
        tables.print_table(title, rows)
