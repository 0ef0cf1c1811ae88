"""What pip installs is all that the repository holds."""

import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/petcast"


def test_the_package_is_whole_without_links() -> None:
    """A link is not followed by every packer, and is a line of text where git makes none."""
    assert [path.name for path in PACKAGE.rglob("*") if path.is_symlink()] == []


@pytest.mark.slow
def test_a_wheel_made_from_the_sdist_holds_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as sdist:
        sdist.extractall(tmp_path, filter="data")
    monkeypatch.chdir(next(path for path in tmp_path.iterdir() if path.is_dir()))
    with zipfile.ZipFile(tmp_path / backend.build_wheel(str(tmp_path))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("petcast/")}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert {path.relative_to(PACKAGE.parent).as_posix() for path in files} == held
