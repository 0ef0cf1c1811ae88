"""Where every command starts: Ctrl-C is as quiet there as later."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import petcast.__main__

START = """
import atexit, runpy, signal, sys

def interrupt():
    signal.raise_signal(signal.SIGINT)

class Finder:
    def find_spec(name, *_):
        if name == "{module}":
            interrupt()

signal.signal(signal.SIGINT, signal.{handler})
sys.meta_path.insert(0, Finder)
if not "{module}":
    atexit.register(interrupt)
sys.argv = ["petcast", "--version"]
runpy.run_module("petcast", run_name="__main__")
"""

WORK = """
import petcast.__main__, petcast.cli, signal, sys, time

def work():
    import half
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
petcast.cli.main = work
petcast.__main__.main()
"""


def run(code: str, *arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["petcast.cli", "typer", ""], ids=["first", "later", "at exit"])
def test_ctrl_c_says_nothing_while_a_command_starts_and_ends(module: str) -> None:
    code, _, said = run(START.format(module=module, handler="default_int_handler"))
    assert (code, said) == (130, "")


def test_who_ignores_ctrl_c_goes_on() -> None:
    code, version, said = run(START.format(module="typer", handler="SIG_IGN"))
    assert (code, version.strip(), said) == (0, petcast.__version__, "")


@pytest.mark.parametrize(("times", "printed"), [(1, "whole\n"), (2, "")])
def test_what_a_command_imports_is_whole_before_it_ends(tmp_path, times: int, printed) -> None:
    """Unless Ctrl-C comes twice."""
    lines = ["import signal", *["signal.raise_signal(signal.SIGINT)"] * times, "print('whole')"]
    (tmp_path / "half.py").write_text("\n".join(lines))
    assert run(WORK, tmp_path) == (130, printed, "")


def test_the_script_that_pip_installs_starts_here() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    script = EntryPoint("petcast", project["scripts"]["petcast"], "console_scripts")
    assert script.load() is petcast.__main__.main
