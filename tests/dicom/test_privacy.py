"""Pseudonyms hold still for one user and tell nothing to another."""

import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.dicom.privacy import key_mark, patient_identity, pseudonym, user_salt
from petcast.errors import UsageError


@given(st.text(), st.text(min_size=1), st.text())
def test_a_pseudonym_is_short_and_always_the_same(kind: str, value: str, salt: str) -> None:
    one = pseudonym(kind, value, salt)
    assert one == pseudonym(kind, value, salt)
    assert len(one) == 12
    assert int(one, 16) >= 0


def test_kind_value_and_key_all_count() -> None:
    names = {pseudonym(kind, value, salt) for kind in "ab" for value in "cd" for salt in ("e", "f")}
    assert len(names) == 8


def test_a_key_has_the_same_mark_every_day_and_another_key_another() -> None:
    assert key_mark("one") == key_mark("one") == "cda1"
    assert len({key_mark(salt) for salt in ("one", "other")}) == 2


def test_issuers_tell_equal_numbers_apart() -> None:
    assert patient_identity("7") == "7"
    assert patient_identity("7", "A") != patient_identity("7", "B")


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    salt = user_salt()
    assert len(salt) == 64
    assert user_salt() == salt
    [path] = (tmp_path / "config" / "petcast").iterdir()
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_overrides_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETCAST_SALT", "mine")
    assert user_salt() == "mine"


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "config" / "petcast" / "salt"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(UsageError, match="empty"):
        user_salt()


def test_bytes_that_are_no_text_are_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETCAST_SALT", b"\xff\xfe".decode(errors="surrogateescape"))
    with pytest.raises(UsageError, match="PETCAST_SALT holds bytes"):
        user_salt()


def test_without_a_home_a_key_has_to_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="set PETCAST_SALT"):
        user_salt()
