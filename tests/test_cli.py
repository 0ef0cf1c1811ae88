"""The command line: every command helps, wrong use exits 2, bad data 3, never a traceback."""

import errno
import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from petcast import cli
from petcast.cli.common import next_step
from petcast.cli.tables import print_table
from petcast.errors import DataError, TrainingError, UsageError
from petcast.predict import Prediction
from petcast.volume import Unit, Volume

COMMANDS = sorted(command.callback.__name__ for command in cli.app.registered_commands)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from petcast.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_units_and_gives_an_example(command: str) -> None:
    text = CliRunner().invoke(cli.app, [command, "--help"]).stdout
    assert f"petcast {command}" in text
    assert "Example:" in text
    assert any(
        unit in text for unit in ("SUV", "HU", "mm", "GFLOP", "gigabytes", "epochs", "usable")
    ), text


def test_no_commands_line_is_cut_off() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).stdout
    assert "..." not in text.partition("Commands:")[2]


def test_options_of_several_values_say_how_they_are_given() -> None:
    """<float,float> looks as if a comma stood between them."""
    text = CliRunner().invoke(cli.app, ["evaluate", "--help"]).stdout
    assert "--suv-window LOW HIGH" in text
    assert "--spacing X Y Z" in text
    assert "<float,float" not in text


def _in_a_terminal_of_80(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")  # no colours
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_terminal_breaks_intervals_between_their_ends(capsys, monkeypatch) -> None:
    _in_a_terminal_of_80(monkeypatch)
    ssim, psnr, bias = "0.772\n[0.770, 0.775]", "29.7\n[29.5, 29.9]", "-0.088\n[-0.090, -0.086]"
    head = ("", "SSIM", "PSNR dB", "MAE", "body SSIM", "body PSNR dB", "SUV error", "SUV bias")
    cells = (ssim, psnr, "0.0162\n[0.0160, 0.0164]", ssim, psnr, ssim, bias)
    print_table("Metrics", [head, ("Stage02 / stage 1", *cells)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[-3:-1]] == [
        ["[0.770,", "[29.5,", "[0.0160,", "[0.770,", "[29.5,", "[0.770,", "[-0.090,"],
        ["0.775]", "29.9]", "0.0164]", "0.775]", "29.9]", "0.775]", "-0.086]"],
    ]


def test_a_terminal_breaks_rules_after_their_hyphens(capsys, monkeypatch) -> None:
    _in_a_terminal_of_80(monkeypatch)
    head = ("id", "part", "slices", "suv_max", "factor_rule", "time_rule", "registration")
    row = ("02d0c0cd3f71", "train", "37", "13.4", "bqml-weight-over-dose", "series-time", "good")
    print_table("Pairs", [head, row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines[3:] for word in line.split()}
    assert words >= {"02d0c0cd3f71", "bqml-weight-over-", "dose", "series-", "time"}


def test_a_path_that_leaves_a_table_no_room_stands_above_its_values(capsys, monkeypatch) -> None:
    _in_a_terminal_of_80(monkeypatch)
    path = "/data/exports/2026/petct/hospital-of-our-town/patient-0001/PT"
    rows = [("path", "factor_rule", "time_rule"), (path, "bqml-weight-over-dose", "series-time")]
    print_table("SUV in g/mL", rows)
    words = capsys.readouterr().out.split()
    assert words[-6:] == ["path", path, "factor_rule", rows[1][1], "time_rule", "series-time"]


def test_ids_that_begin_with_a_digit_stand_to_the_left(capsys) -> None:
    rows = [("id", "SUV"), ("9b579d4f9d09", "0.97"), ("33e971234567", "-1.2e-05 [0, 1]")]
    print_table("Title", rows)
    head = next(line for line in capsys.readouterr().out.splitlines() if "SUV" in line)
    assert head.startswith("  id  ")
    assert head.rstrip().endswith(" SUV")
    assert head.index("SUV") > 25  # above the ends of its numbers


def test_a_head_that_looks_like_markup_is_printed_as_it_is(capsys) -> None:
    """A reader of a reading is called what the reader typed."""
    print_table("Readers", [["", "[/x] [red]"], ["area", "0.5"]])
    assert "[/x] [red]" in capsys.readouterr().out


def test_help_imports_neither_torch_nor_dicom() -> None:
    code = (
        "import sys; from petcast import cli; from typer.testing import CliRunner;"
        "CliRunner().invoke(cli.app, ['--help']);"
        "print([m for m in ('torch', 'pydicom', 'SimpleITK', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_next_command_may_be_copied_into_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.phantom.write_cohort", lambda *_, **__: [])
    said = CliRunner().invoke(cli.app, ["phantom", "--out", str(tmp_path / "our cohort")]).stdout
    words = shlex.split(said.partition("Next: ")[2])
    assert words == ["petcast", "scan", str(tmp_path / "our cohort" / "dicom")]


@pytest.mark.parametrize(
    ("parts", "step"),
    [
        ("train test", "train tiny --data p --out run"),
        ("test validation", "evaluate --truth p --predictions run"),
        ("validation", "evaluate --truth p --predictions run --part validation"),
    ],
)
def test_pairs_in_which_nobody_trains_are_not_to_be_trained_on(monkeypatch, parts, step) -> None:
    members = {part: ["a"] * (part in parts) for part in ("train", "validation", "test")}
    index = {"parts": members, "studies": [], "refused": [], "split": {}, "audit": {"clean": True}}
    monkeypatch.setattr("petcast.prepare.prepare", lambda *_, **__: SimpleNamespace(index=index))
    done = CliRunner().invoke(cli.app, ["prepare", ".", "--out", "p"])
    assert done.exit_code == 0, done.exception
    assert f"Next: petcast {step}\n" in done.stdout


@pytest.mark.parametrize(
    "given",
    [["--models", "U-Net"], ["--epochs", "2"], ["--set", "loss.l1=3"], ["--keep", "all"], []],
)
def test_tables_alone_are_made_by_nothing_that_says_what_is_trained(monkeypatch, given) -> None:
    def written(_: Path) -> None:
        raise DataError("written")

    monkeypatch.setattr("petcast.study.write_tables", written)
    study = ["study", "tiny", "--data", "p", "--out", "s", "--only-tables"]
    error = CliRunner().invoke(cli.app, study + given).exception
    assert isinstance(error, UsageError if given else DataError)
    assert ("leave one of the two away" in str(error)) is bool(given)


SCORES = {"ssim": 0.9, "psnr": 30.0, "mae": 0.01, "psnr_body": 25.0}


@pytest.mark.parametrize(
    ("rows", "further"),
    [
        ([{"epoch": 1, "validation": SCORES, "test": SCORES}], ""),
        ([{"epoch": 1, "validation": SCORES, "test": None}], " --part validation"),
        ([{"epoch": 1, "validation": None, "test": None}], " --part train"),
        ([], ""),  # metrics.jsonl was lost, after all epochs
    ],
)
def test_a_training_names_the_part_that_can_be_evaluated(monkeypatch, rows, further) -> None:
    monkeypatch.setattr("petcast.train.train", lambda *_: rows)
    done = CliRunner().invoke(cli.app, ["train", "tiny", "--data", "p", "--out", "r"])
    assert done.exit_code == 0, done.exception
    assert f"Next: petcast evaluate --truth p --predictions r{further}\n" in done.stdout


@pytest.mark.parametrize(("out", "files"), [("pet", "40 DICOM files, "), ("pet.nii.gz", "")])
def test_a_cast_series_says_how_many_files_it_has(tmp_path, monkeypatch, out, files) -> None:
    pet = Volume(np.full((40, 4, 4), 2.5, np.float32), np.eye(4), Unit.SUV)
    cast = Prediction(pet, ())
    monkeypatch.setattr("petcast.uncertainty.predict_either", lambda *_, **__: cast)
    command = ["predict", str(tmp_path), "--model", "run", "--out", out]
    assert CliRunner().invoke(cli.app, command).stdout == f"{out}: {files}SUV 2.50 to 2.50\n"


def test_signs_that_the_terminal_does_not_know_end_no_command(monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["petcast", "scan", "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    sys.stdout.flush()
    assert b"DIR?" in written.getvalue()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_the_next_step_names_a_folder_by_its_own_bytes(monkeypatch, encoding: str) -> None:
    """Names of older systems are no UTF-8; a shell would not find what stands for them."""
    written, folder = io.BytesIO(), os.fsdecode(b"M\xfcller")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(cli, "app", lambda: typer.echo(f"{next_step('scan', folder)} \u0416"))
    cli.main()
    sys.stdout.flush()
    sign = "?" if encoding == "latin-1" else "\u0416"
    assert written.getvalue() == b"Next: petcast scan 'M\xfcller' " + f"{sign}\n".encode()


@pytest.mark.slow
def test_wrong_use_exits_2_with_a_word(tmp_path) -> None:
    for arguments in (
        ["scan", str(tmp_path / "absent")],
        ["suv", str(tmp_path), "--mask", str(tmp_path / "absent.nii.gz")],
        ["train", "no-such-recipe", "--data", str(tmp_path), "--out", str(tmp_path / "run")],
        ["archive", "no-such-collection"],
        ["nonsense"],
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_folder_with_nothing_usable_exits_3(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("no image here")
    done = run("scan", str(tmp_path), "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["studies"] == []
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_empty_folder_is_said_to_be_empty(tmp_path) -> None:
    done = run("scan", str(tmp_path))
    assert done.returncode == 3
    assert "nothing was found" in done.stderr


@pytest.mark.slow
def test_a_file_in_the_way_of_a_folder_is_wrong_use(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "taken").write_text("not a folder")
    for out in ("taken", "taken/pairs"):
        done = run("prepare", str(tmp_path / "in"), "--out", str(tmp_path / out), "--workers", "1")
        assert done.returncode == 2, done.stderr
        assert "taken" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENAMETOOLONG, 2), (errno.ELOOP, 2), (errno.EPERM, 3), (errno.EROFS, 3), (errno.EIO, 3),
     (errno.ENOSPC, 3),
     (errno.ETIMEDOUT, 3), (errno.ENODEV, 3), (errno.ENOENT, 3), (errno.ESRCH, 3),
     (errno.EINVAL, 3)],
)  # fmt: skip
def test_what_a_disk_refuses_is_said_in_a_line(monkeypatch, capsys, number: int, status) -> None:
    def refused() -> None:
        raise OSError(number, os.strerror(number), "/share/pairs")

    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert f"{os.strerror(number)}" in (said := capsys.readouterr().err)
    assert "/share/pairs" in said
    assert said.rpartition("; ")[2].startswith(("give ", "have ", "look ", "make "))  # what to do


def test_no_room_for_temporary_files_is_said_in_a_line(monkeypatch, capsys) -> None:
    """A full or read-only disk: `tempfile` says it as of a file that is missing, and names none."""
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(cli, "app", tempfile.TemporaryFile)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert "/nowhere" in said
    assert "set TMPDIR" in said


def test_an_error_without_a_file_is_a_mistake_of_our_own(monkeypatch) -> None:
    def mistaken() -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(cli, "app", mistaken)
    with pytest.raises(OSError, match="Invalid argument"):
        cli.main()


def test_too_little_memory_is_said_in_a_line(monkeypatch, capsys) -> None:
    def full() -> None:
        raise MemoryError("Unable to allocate 4.00 TiB for an array")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("petcast: this needs more memory than there is (Unable to allocate 4.00")


@pytest.mark.parametrize(("error", "status"), [(UsageError, 2), (DataError, 3), (TrainingError, 1)])
def test_an_error_exits_with_its_own_status(monkeypatch, capsys, error, status: int) -> None:
    def failing() -> None:
        raise error("what was found")

    monkeypatch.setattr(cli, "app", failing)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (status, "petcast: what was found\n")


@pytest.mark.parametrize(("clean", "status"), [(True, 0), (False, 3)])
def test_pairs_that_leak_exit_3_and_print_their_document(monkeypatch, clean: bool, status) -> None:
    found = SimpleNamespace(clean=clean, to_json=lambda: {"leaks": [], "clean": clean})
    monkeypatch.setattr("petcast.audit.audit", lambda _: found)
    monkeypatch.setattr("petcast.pairs.Pairs.open", lambda _: None)
    done = CliRunner().invoke(cli.app, ["audit", "pairs", "--json"])
    assert done.exit_code == status
    assert json.loads(done.stdout) == found.to_json()


def test_an_interrupted_command_exits_130_and_says_nothing(monkeypatch, capsys, tmp_path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("petcast.phantom.write_cohort", interrupted)
    monkeypatch.setattr(sys, "argv", ["petcast", "phantom", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_link_that_leads_to_itself_is_wrong_use(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setattr(cli, "app", lambda: (tmp_path / "loop").resolve(strict=True))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "loop" in capsys.readouterr().err


@pytest.mark.slow
def test_json_is_the_only_thing_on_standard_output() -> None:
    done = run("models", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["models"]) == 13
    assert done.stderr == ""


def test_every_command_is_documented(request) -> None:
    docs = request.config.rootpath / "docs"
    text = "\n".join(p.read_text(encoding="utf-8") for p in docs.rglob("*.md"))
    missing = [name for name in COMMANDS if f"petcast {name}" not in text]
    assert not missing
