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

signal.signal(signal.SIGINT, signal.{handler})

def interrupt():
    signal.raise_signal(signal.SIGINT)

def mistake_it():
    try:
        interrupt()
    except KeyboardInterrupt:
        raise RuntimeError("half an import") from None

class Finder:
    def find_spec(name, *_):
        if name == "{module}":
            {do}()

sys.meta_path.insert(0, Finder)
if not "{module}":
    atexit.register({do})
sys.argv = ["petcast", "{argument}"]
runpy.run_module("petcast", run_name="__main__")
"""


def interrupted(module: str, argument: str, do: str = "interrupt", handler="default_int_handler"):
    """Interrupt a command while it looks for a module, or, where that is "", at its end."""
    code = START.format(module=module, argument=argument, do=do, handler=handler)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("module", ["petcast.cli", "typer", "petcast.models", ""])
def test_ctrl_c_says_nothing_while_a_command_starts_and_ends(module: str) -> None:
    assert interrupted(module, "models" if module else "--version") == (130, "")


def test_an_import_that_mistakes_ctrl_c_for_an_error_says_nothing() -> None:
    assert interrupted("petcast.models", "models", "mistake_it") == (130, "")


def test_who_ignores_ctrl_c_goes_on() -> None:
    assert interrupted("typer", "--version", handler="SIG_IGN") == (0, "")


def test_the_script_that_pip_installs_starts_here() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    script = EntryPoint("petcast", project["scripts"]["petcast"], "console_scripts")
    assert script.load() is petcast.__main__.main
