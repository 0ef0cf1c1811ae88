"""Memory goes back where it can, and nowhere else is touched."""

import ctypes

import pytest

from petcast.device import return_freed_memory


def test_elsewhere_than_on_linux_no_library_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    return_freed_memory()


def test_a_c_library_without_the_function_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    return_freed_memory()
