"""The examples in docstrings run, and give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = [path.relative_to(SOURCE) for path in sorted(SOURCE.glob("petcast/**/*.py"))
         if ">>> " in (SOURCE / path).read_text(encoding="utf-8")]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=str)
def test_examples_run(file: Path) -> None:
    name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed
