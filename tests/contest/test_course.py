"""Runs that are finished are not trained again, and little is kept of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.contest import course
from petcast.contest.course import (
    follow_all,
    plan,
    pretraining_folder,
    read_record,
    twins,
)
from petcast.contest.entrants import Contest, Entrant
from petcast.contest.results import write_results
from petcast.contest.tables import training_cost_table
from petcast.contest.thin import cut, label_of, portion, thinned, unscored
from petcast.disk.durable import exclusive
from petcast.errors import DataError, FormatError, NotFiniteError, TrainingError, UsageError
from petcast.pairs import Pairs
from petcast.recipe import Recipe

pytestmark = pytest.mark.slow

ENTRANTS = (
    Entrant(name="one", recipe="tiny"),
    Entrant(name="two", recipe="tiny", settings=("loss.l1=1.0",)),
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, record: Callable[..., dict[str, Any]]) -> list[str]:
    """Training and measuring leave files without computing; what was trained is listed."""
    calls: list[str] = []

    def train(
        recipe: Recipe, data: Path, run: Path, pretraining: Path | None = None
    ) -> dict[str, float]:
        calls.append(f"{label_of(data)}/{run.parent.name}/{run.name}")
        for name in ("last", "best"):
            (run / name).mkdir()
            (run / name / "model.safetensors").write_bytes(b"0")
        kept = recipe.prepared_as(Pairs.open(data).index["preparation"])
        (run / "recipe.toml").write_text(kept.to_toml())
        return {"peak_mb": 1.0, "threads": 1, "load": 0.5}

    def measure(recipe: Recipe, data: Path, run: Path) -> dict[str, Any]:
        own = record("", "", 0, 30.0)
        return {key: own[key] for key in own if key not in ("entrant", "pairs", "seed", "epochs")}

    monkeypatch.setattr(course, "apart", lambda work, *asked: work(*asked))
    monkeypatch.setattr(course, "train_here", train)
    monkeypatch.setattr(course, "measure_here", measure)
    return calls


def silent(_: str) -> None:
    pass


def test_finished_runs_are_not_trained_again(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    out, label = tmp_path / "out", label_of(whole_pairs)
    one_seed = plan(ENTRANTS, [whole_pairs], out, seeds=1, epochs=2)
    assert len(follow_all(one_seed, tell=silent)) == 2
    assert trained == [f"{label}/one/0", f"{label}/two/0"]
    two_seeds = plan(ENTRANTS, [whole_pairs], out, seeds=2, epochs=2)
    records = follow_all(two_seeds, tell=silent)
    assert trained[2:] == [f"{label}/one/1", f"{label}/two/1"]
    assert [(r["entrant"], r["seed"]) for r in records] == [
        ("one", 0), ("two", 0), ("one", 1), ("two", 1)]  # fmt: skip
    kept = sorted(str(path.relative_to(out / label)) for path in out.rglob("*.safetensors"))
    assert kept == ["one/0/best/model.safetensors", "two/0/best/model.safetensors"]
    contest = Contest.model_validate({"entrant": ENTRANTS, "base": "one"})
    text = write_results(contest, two_seeds, out)
    assert "4 of 4 runs, 2 epochs" in text
    assert json.loads((out / "contest.json").read_text())["runs"] == records
    assert b"<svg" in (out / "contest-quality-cost.svg").read_bytes()


def test_what_one_entrant_cannot_do_is_said_before_another_is_trained(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    marked = Entrant(name="marked", recipe="tiny", settings=("loss.lesions=20",))
    tasks = plan((*ENTRANTS, marked), [whole_pairs], tmp_path, seeds=1, epochs=2)
    with pytest.raises(DataError, match=r"^marked, .*, seed 0: loss\.lesions = 20"):
        follow_all(tasks, tell=silent)
    assert not trained


def test_a_run_that_was_killed_after_training_is_only_measured(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    (task,) = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2)
    follow_all([task], tell=silent)
    (task.run / "contest.json").unlink()
    assert read_record(task) is None
    assert len(follow_all([task], tell=silent)) == 1
    assert len(trained) == 1


def test_another_recipe_in_a_finished_folder_is_refused(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    follow_all(plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2), tell=silent)
    longer = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=3)
    with pytest.raises(UsageError, match=r"differs in training.epochs"):
        follow_all(longer, tell=silent)
    elsewhere = ("training.device=cpu", "engine.pairs=streamed")  # say nothing of what is learned
    [same] = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2, common=elsewhere)
    assert read_record(same) is not None


def test_a_record_of_a_newer_petcast_is_refused(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    (task,) = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2)
    [record] = follow_all([task], tell=silent)
    (task.run / "contest.json").write_text(json.dumps(record | {"format": course.FORMAT + 1}))
    with pytest.raises(FormatError, match="update petcast"):
        read_record(task)


def test_a_record_of_an_older_petcast_says_what_to_do(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    (task,) = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2)
    [record] = follow_all([task], tell=silent)
    older = record | {"format": 1, "real_lattice": 4.0}
    (task.run / "contest.json").write_text(json.dumps(older))
    contest = Contest.model_validate({"entrant": ENTRANTS[:1]})
    with pytest.raises(FormatError, match=r"format 1, now 2.*give another --out"):
        write_results(contest, [task], tmp_path)


def test_a_run_that_another_process_works_on_is_left_to_it(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    tasks, told = plan(ENTRANTS, [whole_pairs], tmp_path, seeds=1, epochs=2), []
    tasks[0].run.mkdir(parents=True)
    with exclusive(tasks[0].run / ".contest.lock"):
        records = follow_all(tasks, tell=told.append)
    assert [record["entrant"] for record in records] == ["two"]
    assert any("another process works in" in line for line in told)


def test_a_run_that_was_killed_when_it_was_done_is_swept(
    tmp_path: Path, whole_pairs: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its record and the removal of the state of training, twice the weights."""
    tasks = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=2, epochs=2)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    sweep = course._sweep
    monkeypatch.setattr(course, "_sweep", dies)
    with pytest.raises(KeyboardInterrupt):
        follow_all(tasks[1:], tell=silent)
    monkeypatch.setattr(course, "_sweep", sweep)
    assert (tasks[1].run / "last").is_dir()
    assert len(follow_all(tasks[1:], tell=silent)) == 1
    assert {path.name for path in tasks[1].run.iterdir() if path.is_dir()} == set()


def test_a_run_that_was_killed_while_it_was_swept_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the removal of the weights and that of the state of training."""
    recipe, run = ENTRANTS[0].made((), 2, 0), tmp_path / "pairs" / "one" / "0"
    for name in ("last", "best"):
        (run / name).mkdir(parents=True)
    (run / "recipe.toml").write_text(recipe.to_toml())
    (run / "contest.json").write_text(json.dumps({"format": course.FORMAT}))
    tasks = [course.Task(ENTRANTS[0], recipe, tmp_path / "pairs", "pairs", 0, run)]
    remove, removed = course.remove_directory, []

    def dies_the_second_time(folder: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(folder.name)
        remove(folder)

    monkeypatch.setattr(course, "remove_directory", dies_the_second_time)
    with pytest.raises(KeyboardInterrupt):
        follow_all(tasks, keep="none", tell=silent)
    monkeypatch.setattr(course, "remove_directory", remove)
    assert len(follow_all(tasks, keep="none", tell=silent)) == 1
    assert {path.name for path in run.iterdir() if path.is_dir()} == set()


def test_a_diverged_run_is_recorded_and_the_others_go_on(
    tmp_path: Path, whole_pairs: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    well = course.train_here

    def diverge(recipe: Recipe, data: Path, run: Path, first: Path | None) -> Any:
        found = well(recipe, data, run, first)
        if run.parent.name == "one":
            raise TrainingError(f"epoch 1: loss became NaN; see {run}")
        return found

    monkeypatch.setattr(course, "train_here", diverge)
    tasks = plan(ENTRANTS, [whole_pairs], tmp_path, seeds=1, epochs=2)
    first, second = follow_all(tasks, tell=silent)
    assert first["diverged"] == "epoch 1: loss became NaN; see 0"
    assert "stages" in second
    assert len(follow_all(tasks, tell=silent)) == 2
    assert len(trained) == 2


@pytest.mark.parametrize("error", [FormatError("pet.npy is cut off"), NotFiniteError("NaN")])
def test_a_damaged_file_is_no_divergence_and_costs_no_weights(
    tmp_path: Path, whole_pairs: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:  # fmt: skip
    def measure(*_: Any) -> dict[str, Any]:
        raise error

    [task] = plan(ENTRANTS[:1], [whole_pairs], tmp_path, seeds=1, epochs=2)
    monkeypatch.setattr(course, "measure_here", measure)
    if isinstance(error, NotFiniteError):
        assert follow_all([task], tell=silent)[0]["diverged"] == "NaN"
        return
    with pytest.raises(FormatError):
        follow_all([task], tell=silent)
    assert (task.run / "best").is_dir()
    assert read_record(task) is None


def test_twins_run_once(tmp_path: Path, whole_pairs: Path) -> None:
    same = Entrant(name="two again", recipe="tiny", settings=("loss.l1=1.0",))
    assert twins((*ENTRANTS, same), ()) == {"two again": "two"}
    tasks = plan((*ENTRANTS, same), [whole_pairs], tmp_path, seeds=1, epochs=2)
    assert [task.entrant.name for task in tasks] == ["one", "two"]


def test_without_scoring_the_others_patients_stay_and_no_voxel_is_copied(
    tmp_path: Path, whole_pairs: Path
) -> None:
    whole, rest = Pairs.open(whole_pairs), Pairs.open(unscored(whole_pairs, tmp_path / "rest"))
    kept = [study for part in ("train", "validation") for study in whole.studies(part)]
    assert whole.studies("test")
    assert rest.studies("test") == []
    assert {study.id for study in rest.studies()} == {study.id for study in kept}
    assert rest.studies("train")[0].folder.resolve() == kept[0].folder.resolve()
    assert not list((tmp_path / "rest").rglob("*.npy"))


def test_pairs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two folders are called"):
        plan(
            ENTRANTS, [tmp_path / "x" / "pairs", tmp_path / "y" / "x"], tmp_path, seeds=1, epochs=1
        )


def test_fewer_slices_keep_their_place_and_their_voxels(tmp_path: Path, whole_pairs: Path) -> None:
    whole = {study.id: study for study in Pairs.open(whole_pairs).studies()}
    thin = Pairs.open(thinned(whole_pairs, tmp_path / "thin", 2))
    for study in thin.studies():
        step = 2 if study.part == "train" else 8
        np.testing.assert_array_equal(study.pet, whole[study.id].pet[::step])
        assert study.grid.spacing_mm[2] == pytest.approx(step * whole[study.id].grid.spacing_mm[2])
    few = Pairs.open(portion(whole_pairs, tmp_path / "few", 3))
    assert [study.part for study in few.studies()] == ["train"]
    assert few.studies()[0].slices == 3
    late = Pairs.open(cut(whole_pairs, tmp_path / "late", lambda _: slice(1, None)))
    study = late.studies()[0]
    origin = whole[study.id].grid.affine @ np.array([0, 0, 1, 1])
    np.testing.assert_allclose(study.grid.affine[:, 3], origin)


def test_runs_that_learn_alike_from_phantoms_share_what_was_learned(
    tmp_path: Path, whole_pairs: Path, trained: list[str]
) -> None:
    entrants = (
        Entrant(name="none", recipe="tiny"),
        Entrant(name="one", recipe="tiny", settings=("pretraining.phantoms=2",)),
        Entrant(name="later otherwise", recipe="tiny",
                settings=("pretraining.phantoms=2", "optimizer.learning_rate=0.1")),
        Entrant(name="other", recipe="tiny", settings=("pretraining.phantoms=3",)),
    )  # fmt: skip
    tasks = plan(entrants, [whole_pairs], tmp_path, seeds=2, epochs=2)
    none, one, otherwise, other, _, second, *_ = map(pretraining_folder, tasks)
    assert none is None
    assert one is not None
    assert one.parent == tmp_path / "pretraining"
    assert one == otherwise
    assert len({one, other, second}) == 3
    (one / "metrics.jsonl").parent.mkdir(parents=True)
    rows = [{"epoch": epoch, "seconds": 2.5, "train": {}} for epoch in (1, 2)]
    (one / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (record,) = follow_all([tasks[1]], tell=silent)
    assert record["pretraining_seconds"] == 5.0
    assert "5.0" in training_cost_table(Contest.model_validate({"entrant": entrants}), [record])
