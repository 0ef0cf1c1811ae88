"""The examples in docstrings run, and give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.glob("petcast/**/*.py"))
         if ">>> " in path.read_text(encoding="utf-8")]  # fmt: skip
SLOW = ("petcast/engine/rewrites.py", "petcast/metrics/lesion.py")


@pytest.mark.parametrize(
    "file", [pytest.param(f, marks=[pytest.mark.slow] if f in SLOW else []) for f in FILES]
)
def test_examples_run(file: str) -> None:
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed
