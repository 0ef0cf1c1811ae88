"""The newcomer's command: the whole way, with what the tutorial says lies there in the end."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from petcast import cli, demo
from petcast.dicom.read import load_ct_and_source
from petcast.dicom.scan import scan
from petcast.pairs import Pairs
from petcast.recipe import Recipe, load_recipe
from petcast.volume import Unit, Volume


@pytest.mark.slow
def test_the_whole_way(tiny_cohort: Path, tmp_path: Path, monkeypatch) -> None:
    """With the suite's own phantoms in place of larger ones, one stage and one epoch."""
    asked = {}

    def write(out: Path, patients: int, seed: int, **knobs: object) -> None:
        asked.update(patients=patients, seed=seed, **knobs)
        if not out.exists():
            out.parent.mkdir()
            out.symlink_to(tiny_cohort.parent)

    def small(name: str, settings: list[str]) -> Recipe:
        quick = ["model.name=Stage01", "training.epochs=1", "preparation.margin_mm=0"]
        return load_recipe(name, [*settings, *quick])

    monkeypatch.setattr(demo, "write_cohort", write)
    monkeypatch.setattr(demo, "load_recipe", small)
    out = tmp_path / "demo"
    call = ["demo", "--out", str(out), "--patients", "4", "--seed", "1"]
    done = CliRunner().invoke(cli.app, call, catch_exceptions=False)

    assert asked == {"patients": 4, "seed": 1, "ct_size": demo.CT_SIZE}
    made = {"cohort", "pairs", "run", "predicted.nii.gz", "report.html", "MODEL_CARD.md"}
    assert {path.name for path in out.iterdir()} == made
    for step in ("1/6 phantom: 4 patients", "3/6 train: Stage01, 1 epoch of", "6/6 report"):
        assert step in done.stderr
    assert f"The report: {out / 'report.html'}" in done.stdout

    pairs = Pairs.open(out / "pairs")
    assert pairs.index["preparation"]["seed"] == 1
    [unseen] = [study.id for study in pairs.studies("test")]
    studies = scan([tiny_cohort], salt=demo.PUBLIC_SALT).studies
    [ct] = [study.ct for study in studies if study.id == unseen and study.ct]
    cast = Volume.load(out / "predicted.nii.gz", Unit.SUV)
    assert cast.grid.matches(load_ct_and_source(ct.files[0].parent)[0].grid)
