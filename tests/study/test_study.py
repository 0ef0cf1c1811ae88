"""The study: what becomes of made-up runs, and where it goes on."""

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from petcast.errors import (
    DataError,
    FormatError,
    NotFiniteError,
    PetcastError,
    TrainingError,
    UsageError,
)
from petcast.recipe import EngineRecipe, ModelRecipe, Recipe, load_recipe
from petcast.report.answers import answer_question
from petcast.study import choose, course, keep_of, run_study, write_tables
from petcast.study.outcome import read_outcome
from petcast.study.protocol import run_folder
from petcast.study.study import PAPER_ORDER

from .conftest import SIDE, Faker, fake_train, short

pytestmark = pytest.mark.slow

PAIR = ("U-Net", "Stage01")


def table(study: Path, name: str) -> list[dict[str, str]]:
    with (study / "tables" / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def silent(*_: object) -> None:
    pass


def run(pairs: Path, out: Path, generators=PAIR, epochs: int = 2, **more):
    return run_study(short(epochs), pairs, out, generators=generators, tell=silent, **more)


@pytest.mark.usefixtures("undrawn")
def test_published_is_the_best_epoch_of_each_metric_and_sound_the_mean(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "study", epochs=3)
    unet, stage, *trivial = table(tmp_path / "study", "table-4")
    assert (unet["name"], unet["published_psnr"], unet["published_psnr_epoch"]) == (
        "U-Net", "30.000000", "2",
    )  # fmt: skip
    assert unet["published_mae"] == f"{1 / 30:.6f}"  # the smallest error, not the largest
    assert stage["sound_psnr"] == "30.100000"  # patients 30, 30.1 and 30.2
    assert stage["paper_psnr"] == "28.358400"
    assert [row["name"] for row in trivial] == ["train-mean", "body-constant", "zero"]
    assert all(row["published_ssim"] and row["sound_ssim"] for row in trivial)


@pytest.mark.usefixtures("undrawn")
def test_the_worth_and_the_pairs_follow_from_the_same_numbers(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    results = run(tiny_pairs, tmp_path / "study", ("U-Net", "Stage07")).results
    worth = {row["name"]: row for row in table(tmp_path / "study", "protocol-worth")}
    assert worth["U-Net"]["published_minus_sound"] == "1.000000"
    assert results["worth"]["psnr"]["generators"] == 2
    [psnr] = [r for r in table(tmp_path / "study", "paired-u-net") if r["metric"] == "psnr"]
    assert (psnr["difference"], psnr["p"], psnr["patients"]) == ("7.700000", "0.250000", "3")
    assert results["question"]["answers"]["psnr"]["least_p"] == 0.25


@pytest.mark.usefixtures("undrawn")
def test_a_generator_that_diverges_is_a_row_and_the_rest_goes_on(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    asked = []

    def train(recipe, data: Path, run: Path) -> None:
        asked.append(recipe.model.name)
        fake_train(recipe, data, run)
        if recipe.model.name == "U-Net":
            (run / "metrics.jsonl").write_text('{"epoch": 1, "train": {}, "test": null}\n')
            raise TrainingError(f"epoch 2: loss became NaN, see {run / 'last'}")

    faked(train)
    for _ in range(2):
        run(tiny_pairs, tmp_path / "study")
    unet, stage, *_ = table(tmp_path / "study", "table-4")
    assert unet["published_state"] == unet["sound_state"] == "diverged at epoch 2"
    assert (unet["published_psnr"], unet["sound_psnr"]) == ("", "")
    assert stage["published_state"] == "done"
    assert asked == ["U-Net", "U-Net", "Stage01", "Stage01"]  # once a protocol, never again


@pytest.mark.usefixtures("undrawn")
def test_no_table_and_no_sentence_says_that_p_is_0(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked(patients=13)
    results = run(tiny_pairs, tmp_path / "study", ("U-Net", "Stage07")).results
    assert results["question"]["answers"]["psnr"]["p"] == 2 / 2**13
    [paired] = [t for t in results["tables"] if t["key"] == "paired-u-net"]
    cells = [cell for line in paired["lines"] for cell in line["cells"]]
    assert ("< 0.001", "Holm < 0.001") in [(cell["text"], cell["ends"]) for cell in cells]
    assert "p < 0.001 (PSNR" in " ".join(answer_question(results).sentences)


@pytest.mark.usefixtures("undrawn")
def test_only_what_is_not_finite_has_diverged_and_a_damaged_file_costs_no_weights(
    tiny_pairs: Path, tmp_path: Path, faked: Faker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(error: Exception) -> Callable[..., None]:
        def evaluate(_: Path, __: Path) -> None:
            raise error

        return evaluate

    faked()
    whole, out = course.evaluate_run, tmp_path / "study"
    damaged = FormatError("ct.npy is damaged")
    monkeypatch.setattr(course, "evaluate_run", measure(damaged))
    with pytest.raises(FormatError, match="damaged"):
        run(tiny_pairs, out, ("Stage01",), keep="none")
    assert (run_folder(out, "sound", "Stage01") / "best").is_dir()
    monkeypatch.setattr(course, "evaluate_run", whole)
    run(tiny_pairs, out, ("Stage01",), keep="none")
    assert table(out, "table-4")[0]["sound_state"] == "done"
    monkeypatch.setattr(course, "evaluate_run", measure(NotFiniteError("9 voxels are NaN")))
    run(tiny_pairs, tmp_path / "other", ("Stage01",))
    assert table(tmp_path / "other", "table-4")[0]["sound_state"] == "diverged at epoch 2"


@pytest.mark.usefixtures("undrawn")
def test_a_study_that_died_at_any_step_ends_in_the_same_tables(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "straight")
    for step in (1, 2, 3):
        steps = iter(range(step))
        faked(lambda *given, steps=steps: _dying(steps, *given))
        with pytest.raises(KeyboardInterrupt):
            run(tiny_pairs, tmp_path / f"died-{step}", keep="all")
        faked()
        run(tiny_pairs, tmp_path / f"died-{step}", keep="all")
        for path in sorted((tmp_path / "straight" / "tables").iterdir()):
            again = tmp_path / f"died-{step}" / "tables" / path.name
            assert again.read_bytes() == path.read_bytes()


def _dying(steps: Iterator[int], *given) -> None:
    if next(steps, None) is None:
        raise KeyboardInterrupt
    fake_train(*given)


@pytest.mark.usefixtures("undrawn")
def test_tables_of_what_is_there_need_no_training(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked(lambda *given: _dying(iter(()), *given))
    with pytest.raises(KeyboardInterrupt):
        run(tiny_pairs, tmp_path / "study")
    run_folder = tmp_path / "study" / "published" / "runs" / "Stage03"
    fake_train(short(1), tiny_pairs, run_folder.parent / "Stage01")
    write_tables(tmp_path / "study")
    [stage, *_] = table(tmp_path / "study", "table-4")
    assert (stage["name"], stage["published_state"]) == ("Stage01", "1 of 2 epochs")
    assert stage["sound_state"] == "not trained"


@pytest.mark.usefixtures("undrawn")
def test_what_is_kept_of_a_finished_run(tiny_pairs: Path, tmp_path: Path, faked: Faker) -> None:
    def trained(recipe: Recipe, data: Path, folder: Path) -> None:
        fake_train(recipe, data, folder)
        shutil.copytree(folder / "best", folder / "pretraining" / "best")

    faked(trained)
    everything = {"best", "last", "pretraining/best"}
    for keep, left in (("all", everything), ("best", {"best"}), ("none", set())):
        run(tiny_pairs, tmp_path / keep, ("Stage01",), keep=keep_of(keep))
        folder = tmp_path / keep / "sound" / "runs" / "Stage01"
        assert {name for name in everything if (folder / name).is_dir()} == left
    with pytest.raises(UsageError, match="some"):
        keep_of("some")


@pytest.mark.usefixtures("undrawn")
def test_more_epochs_go_on_and_fewer_are_refused(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "study", epochs=1)
    run(tiny_pairs, tmp_path / "study", epochs=3)
    assert table(tmp_path / "study", "table-4")[0]["published_psnr_epoch"] == "2"
    with pytest.raises(UsageError, match="holds 3 epochs"):
        run(tiny_pairs, tmp_path / "study", epochs=2)


@pytest.mark.usefixtures("undrawn")
def test_another_recipe_or_other_pairs_do_not_take_a_study_over(
    tiny_pairs: Path, two_patient_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "study")
    with pytest.raises(UsageError, match="other pairs"):
        run(two_patient_pairs, tmp_path / "study")
    other = short().model_copy(update={"loss": short().loss.model_copy(update={"l1": 3.0})})
    with pytest.raises(UsageError, match=r"loss\.l1"):
        run_study(other, tiny_pairs, tmp_path / "study", tell=silent)
    with pytest.raises(UsageError, match="no study"):
        write_tables(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_a_study_keeps_how_its_pairs_were_prepared(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    out = tmp_path / "study"
    for _ in range(2):
        run(tiny_pairs, out)
        assert load_recipe(out / "recipe.toml").preparation.size == SIDE
        (out / "recipe.toml").write_text(short().to_toml())  # as studies did before
    with pytest.raises(UsageError, match=r"preparation\.size"):
        run_study(short(), tiny_pairs, out, settings=["preparation.size=256"], tell=silent)


@pytest.mark.usefixtures("undrawn")
def test_two_patients_are_enough_and_what_is_missing_is_said(
    two_patient_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked(patients=1)
    results = run(two_patient_pairs, tmp_path / "study").results
    assert results["divisions"]["sound"]["empty"] == ["validation"]
    assert results["divisions"]["sound"]["patients"] == {"train": 1, "validation": 0, "test": 1}
    [psnr] = [r for r in table(tmp_path / "study", "paired-u-net") if r["metric"] == "psnr"]
    assert (psnr["low"], psnr["p"]) == ("", "")


def test_wall_times_stand_in_their_own_file_only(
    tiny_pairs: Path, tmp_path: Path, faked: Faker, undrawn: None
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "study", ("Stage01",))
    assert "0.3\n" in (tmp_path / "study" / "timings.csv").read_text()
    outcome = read_outcome(tmp_path / "study", "sound", "Stage01", 2)
    assert all("seconds" not in row for row in outcome.rows)


def test_reading_a_run_leaves_alone_who_evaluates_it(
    tiny_pairs: Path, tmp_path: Path, faked: Faker, undrawn: None
) -> None:
    faked()
    run(tiny_pairs, tmp_path / "study", ("Stage01",))
    evaluation = run_folder(tmp_path / "study", "sound", "Stage01") / "evaluation"
    being_written = evaluation.with_name("evaluation.partial")
    being_written.mkdir()
    evaluation.rename(evaluation.with_name("evaluation.previous"))  # the moment of the exchange
    assert read_outcome(tmp_path / "study", "sound", "Stage01", 2).means
    assert being_written.is_dir()


def test_generators_are_chosen_by_name_in_the_papers_order() -> None:
    assert choose(None) == PAPER_ORDER
    assert len(PAPER_ORDER) == 13
    assert choose("Stage10, Stage02,U-Net") == ("U-Net", "Stage02", "Stage10")
    for wrong in ("Stage11", "", "unet"):
        with pytest.raises(UsageError, match="choose from"):
            choose(wrong)


def test_a_study_among_torchruns_processes_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process, and torchrun started 2"):
        run_study(short(), tmp_path / "pairs", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_runs_folder_is_not_taken_over(tiny_pairs: Path, tmp_path: Path) -> None:
    for name in ("data.json", "recipe.toml"):
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="holds a run, whose recipe would be lost"):
        run(tiny_pairs, tmp_path)
    assert not (tmp_path / "recipe.toml").read_text()


def test_a_folder_of_pairs_is_not_taken_over(tiny_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.json").write_text("")
    with pytest.raises(UsageError, match="holds pairs, and a study needs its own folder"):
        run(tiny_pairs, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"pairs.json", ".lock"}


def test_where_the_sound_protocol_trains_nobody_the_other_does_not_begin(
    test_only_pairs: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="under the sound protocol nobody is left to train"):
        run(test_only_pairs, tmp_path)
    assert not (tmp_path / "published" / "runs").exists()


@pytest.mark.usefixtures("undrawn")
def test_what_a_generator_cannot_do_is_said_before_others_are_trained(
    tiny_pairs: Path, tmp_path: Path, faked: Faker
) -> None:
    faked()
    recompute, smooth = (
        short().model_copy(update=changed)
        for changed in (
            {"engine": EngineRecipe(recompute=True)},
            {"model": ModelRecipe(name="Stage02", upsampling="bilinear", residual=True)},
        )
    )
    for recipe, name, said in (
        (recompute, "DSGGAN", "DSGGAN is none"),
        (smooth, "U-Net", "upsampling, residual: only StageNN knows this"),
    ):
        with pytest.raises(PetcastError, match=f"(?s){name} cannot learn by .* --models.*({said})"):
            run_study(recipe, tiny_pairs, tmp_path, tell=silent)
    assert not (tmp_path / "study.json").exists()
    run(tiny_pairs, tmp_path, ("DSGGAN", "Stage01"))
    run_study(recompute, tiny_pairs, tmp_path, generators=("DSGGAN", "Stage10"), tell=silent)
