"""From a run and pairs to a page that gives nothing away."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from petcast import cli
from petcast.errors import DataError, FormatError, NotFiniteError, UsageError
from petcast.pairs import Pairs
from petcast.reading import make, make_reading
from petcast.reading.order import Place, Shown, put_in_order
from petcast.reading.page import draw_ct, draw_pet, write_page
from petcast.recipe import load_recipe
from petcast.train import train

KEY = {"id": "00ff", "suv_max": 7.0, "sources": [{"name": "real"}, {"name": "Stage02"}]}


def page_of(pictures: int = 4) -> str:
    ct = np.full((32, 32), -1000, np.int16)
    ct[8:24, 6:26] = 40
    seen = draw_ct(ct)
    pets = [draw_pet(np.full((32, 32), k, np.float32), seen, 7.0) for k in range(pictures)]
    return write_page(KEY, [0] * pictures, pets, [seen])


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_all_pictures_of_a_slice_are_cut_alike_by_its_ct() -> None:
    ct = np.full((64, 64), -1000, np.int16)
    ct[20:40, 10:50] = 0
    seen = draw_ct(ct)
    assert seen.box == (slice(16, 44), slice(6, 54))
    header = base64.b64decode(draw_pet(np.ones((64, 64)), seen, 7.0).partition(",")[2])[16:24]
    assert header == (48).to_bytes(4, "big") + (28).to_bytes(4, "big")


def test_lengths_in_the_page_do_not_tell_a_smooth_picture() -> None:
    """Compressed, the real PET was the longer one of each slice."""
    seen = draw_ct(np.zeros((64, 64), np.int16))
    noisy = np.random.default_rng(0).uniform(0, 7, (64, 64))
    assert len(draw_pet(noisy, seen, 7.0)) == len(draw_pet(np.ones((64, 64)), seen, 7.0))


def test_black_is_the_window_s_end_whatever_the_picture_holds() -> None:
    seen = draw_ct(np.zeros((8, 8), np.int16))
    same = [draw_pet(np.full((8, 8), suv, np.float32), seen, 7.0) for suv in (7.0, 70.0)]
    assert same[0] == same[1]
    assert draw_pet(np.full((8, 8), 3.5, np.float32), seen, 7.0) != same[0]


def test_the_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    page = page_of()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert page == page_of()


def test_the_page_says_what_the_reader_may_know_and_no_more() -> None:
    page = page_of()
    assert "<strong>4 pictures</strong>" in page
    assert "Half of them are real" in page
    assert "Stage02" not in page
    data = data_of(page)
    assert [sorted(one) for one in data["images"]] == [["pet", "slice"]] * 4
    assert data["reading"] == "00ff"


def in_a_browser(folder: Path, page: str) -> str:
    """The page's elements after its scripts ran."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium")
    (folder / "page.html").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/own",
         "--dump-dom", f"file://{folder}/page.html"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
def test_the_script_asks_in_a_browser(tmp_path: Path) -> None:
    asked = Counter(
        re.findall(r'<input type="(\w+)" name="(\w+)"', in_a_browser(tmp_path, page_of()))
    )
    assert asked == {
        ("radio", "synthetic"): 6,
        ("radio", "quality"): 5,
        ("checkbox", "artefacts"): 5,
    }


DRIVER = """
const at = (id) => document.getElementById(id);
const press = (key, more) => (document.activeElement || document.body).dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const begin = (name) => {
  at("read").hidden = true;
  at("reader").focus();
  at("reader").value = name;
  at("begin").click();
};
const names = [];
HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
"""


def driven(folder: Path, steps: str) -> dict[str, Any]:
    """What the browser keeps, and the names of saved files, after steps of a reader."""
    driver = f"""{DRIVER}{steps}
    document.body.dataset.told = JSON.stringify(
      {{ names, kept: JSON.parse(localStorage.getItem("petcast-reading-00ff")) }});"""
    page = re.sub(r"<meta http-equiv[^>]+>", "", page_of())  # whose policy allows no other script
    shown = in_a_browser(folder, page.replace("</body>", f"<script>{driver}</script></body>"))
    found = re.search(r'data-told="([^"]*)"', shown)
    assert found is not None
    told = json.loads(html.unescape(found[1]))
    kept = {name: {int(k): (a["synthetic"], a["quality"], a["artefacts"], a["comment"])
                   for k, a in answers.items() if a["quality"]}
            for name, answers in told["kept"]["readers"]}  # fmt: skip
    return {"kept": kept, "names": told["names"]}


@pytest.mark.slow
def test_two_readers_of_one_browser_do_not_take_each_other_s_answers(tmp_path: Path) -> None:
    told = driven(tmp_path, """
    begin("AB"); press("1"); press("2"); press("Enter"); press("3"); press("3"); press("Enter");
    begin("  "); begin("山田 Müller"); press("6"); press("5"); press("Enter");
    at("pause").click(); at("save").click();
    begin("AB"); press("4"); press("4"); press("Enter");
    """)  # fmt: skip
    assert told["kept"] == {
        "AB": {0: (1, 2, [], ""), 1: (3, 3, [], ""), 2: (4, 4, [], "")},
        "山田 Müller": {0: (6, 5, [], "")},
    }
    assert told["names"] == ["answers-山田-Müller.json"]


@pytest.mark.slow
def test_a_browser_that_keeps_nothing_says_so_and_saves(tmp_path: Path) -> None:
    refuses = """<script>Object.defineProperty(window, "localStorage", { get() { throw 1; } });
    addEventListener("load", () => {
      const names = [];
      HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
      const at = (id) => document.getElementById(id);
      const warned = !at("forgetful").hidden;
      at("reader").value = "AB"; at("begin").click(); at("pause").click(); at("save").click();
      document.body.dataset.told = [warned, at("thanks").textContent, ...names].join("; ");
    });</script>"""
    page = re.sub(r"<meta http-equiv[^>]+>", refuses, page_of())
    shown = in_a_browser(tmp_path, page)
    assert 'data-told="true; Not all is answered yet; answers-AB.json"' in shown


@pytest.mark.slow
def test_keys_are_enough_and_none_answers_by_mistake(tmp_path: Path) -> None:
    told = driven(tmp_path, """
    begin("AB");
    press("5"); press("5", { repeat: true }); press("Backspace"); press("4"); press("3");
    press("2"); press("1"); press("1"); press("Enter");
    press("1"); press("1"); at("comment").focus(); at("comment").value = "lung";
    press("Enter", { isComposing: true }); press("Enter");
    press("2"); press("2"); press("Backspace"); press("5"); press("Enter");
    """)  # fmt: skip
    assert told["kept"]["AB"] == {
        0: (4, 3, ["blur"], ""), 1: (1, 1, [], "lung"), 2: (2, 5, [], ""),
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(two_patient_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reading") / "run"
    train(load_recipe("tiny", ["training.epochs=1"]), two_patient_pairs, out)
    return out


@pytest.mark.slow
def test_a_reading_of_a_run(two_patient_pairs: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "reading"
    made = make_reading(two_patient_pairs, [run], out, slices=3)
    assert made.pictures == 3 * 2 + 1
    assert made.notes == ()
    key, page = json.loads(made.key.read_text()), made.page.read_text(encoding="utf-8")
    images = data_of(page)["images"]
    [study] = Pairs.open(two_patient_pairs).studies("test")
    for shown, told in zip(images, key["images"], strict=True):
        real = draw_pet(study.pet[told["slice"]], draw_ct(study.ct[told["slice"]]), 7.0)
        assert (shown["pet"] == real) == (told["source"] == "real")
        if told["repeats"] is not None:
            assert shown == images[told["repeats"]]
    for secret in (study.id, study.patient, "Stage01", '"real"', "tiny"):
        assert secret not in page
    before = made.page.read_bytes(), made.key.read_bytes()
    (out / "answers-AB.json").write_text("{}")
    make_reading(two_patient_pairs, [run], out, slices=3)
    assert (made.page.read_bytes(), made.key.read_bytes()) == before
    with pytest.raises(UsageError, match="holds another reading"):
        make_reading(two_patient_pairs, [run], out, slices=3, seed=1)
    assert (out / "answers-AB.json").read_text() == "{}"
    made.key.unlink()
    with pytest.raises(UsageError, match=r"reading\.html is there, without its key\.json"):
        make_reading(two_patient_pairs, [run], out, slices=3)


@pytest.mark.slow
def test_petcast_and_the_page_do_not_tell_the_order(
    two_patient_pairs: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed and the number of slices are known or guessed: more must go into the order."""
    drawn_from: list[str] = []

    def noted(places: list[Place], sources: int, *, seed: str) -> list[Shown]:
        drawn_from.append(seed)
        return put_in_order(places, sources, seed=seed)

    monkeypatch.setattr(make, "put_in_order", noted)
    made = make_reading(two_patient_pairs, [run], tmp_path, slices=3)
    key = json.loads(made.key.read_text())
    for hidden in (key["data_hash"], *key["sources"][1]["weights"].values()):
        assert hidden in drawn_from[0]
        assert hidden not in made.page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_window_beyond_what_a_run_learned_is_named(
    two_patient_pairs: Path, run: Path, tmp_path: Path
) -> None:
    """The SUV that it is trained on end at 10: darker is real."""
    [note] = make_reading(two_patient_pairs, [run], tmp_path, slices=2, suv_max=20.0).notes
    assert "learned SUV up to 10" in note
    assert "--suv-max 10" in note


@pytest.mark.slow
def test_validation_patients_are_named_whatever_else_is_said(
    two_patient_pairs: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = Pairs.open(two_patient_pairs).studies("test")
    monkeypatch.setattr(Pairs, "studies", lambda *_: studies)
    made = make_reading(two_patient_pairs, [run], tmp_path, slices=99, part="validation")
    assert [note.split(" patients")[0] for note in made.notes[1:]] == ["these are validation"]


@pytest.mark.slow
def test_patients_who_were_trained_on_are_named(
    two_patient_pairs: Path, run: Path, tmp_path: Path
) -> None:
    made = make_reading(two_patient_pairs, [run], tmp_path, slices=99, part="train")
    few, known = made.notes
    assert few.startswith("there are no more than")
    assert "was trained on 1 patient of those shown" in known


@pytest.mark.slow
def test_what_cannot_be_shown_is_refused(
    two_patient_pairs: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "reading"
    with pytest.raises(DataError, match="no validation patients"):
        make_reading(two_patient_pairs, [run], out, part="validation")
    with pytest.raises(UsageError, match="no run is given"):
        make_reading(two_patient_pairs, [], out)
    for suv_max in (float("nan"), float("inf"), 1e-310, 0.0, -1.0):
        with pytest.raises(UsageError, match="cannot be shown"):
            make_reading(two_patient_pairs, [run], out, suv_max=suv_max)
    with pytest.raises(UsageError, match="both be called"):
        make_reading(two_patient_pairs, [run, run], out)
    monkeypatch.setattr(make, "predict_slices", lambda *_, **__: np.full((1, 9, 9, 9), np.nan))
    with pytest.raises(NotFiniteError, match="NaN"):
        make_reading(two_patient_pairs, [run], out)
    assert not out.exists()


@pytest.mark.slow
def test_from_the_command_line(two_patient_pairs: Path, run: Path, tmp_path: Path) -> None:
    out, invoke = tmp_path / "reading", CliRunner().invoke
    made = ["reading", str(run), "--data", str(two_patient_pairs), "--out", str(out)]
    told = invoke(cli.app, [*made, "--slices", "3"])
    assert told.exit_code == 0
    assert f"Keep {out / 'key.json'}" in told.stdout
    reading = json.loads((out / "key.json").read_text())["id"]
    rows = [{"image": k, "synthetic": 3, "quality": 3} for k in range(6)]
    answers = tmp_path / "AB.json"
    answers.write_text(
        json.dumps({"format": 1, "reading": reading, "reader": "AB", "answers": rows})
    )
    scored = invoke(cli.app, ["reading", "--out", str(out), "--answers", str(answers), "--json"])
    assert json.loads(scored.stdout)["told_apart"][0]["auc"] == 0.5
    assert "AB" in invoke(cli.app, ["reading", "--out", str(out), "--answers", str(answers)]).stdout


def test_a_call_that_says_two_things_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AB.json").touch()
    invoke = CliRunner().invoke
    both = invoke(cli.app, ["reading", str(tmp_path), "--answers", str(tmp_path / "AB.json")])
    assert isinstance(both.exception, UsageError)
    assert "leave one of the two away" in str(both.exception)
    none = invoke(cli.app, ["reading"])
    assert isinstance(none.exception, UsageError)
    assert "--answers FILE" in str(none.exception)
    empty = invoke(
        cli.app, ["reading", "--out", str(tmp_path), "--answers", str(tmp_path / "AB.json")]
    )
    assert isinstance(empty.exception, UsageError | FormatError)
