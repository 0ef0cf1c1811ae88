"""What may leave the hospital: keyed hashes in the place of identities.

docs/decisions/0001-identities.md says why the key belongs to the user and not to the data.
"""

import hashlib
import hmac
import os
import re
import secrets
import sys
from functools import lru_cache
from pathlib import Path

from petcast.errors import UsageError

SALT_VARIABLE = "PETCAST_SALT"
"""The environment variable that overrides the user's own key."""

PSEUDONYM_DIGITS = 12
"""48 bits: among 100,000 series, two share an id once in 57,000 cohorts."""

MARK_DIGITS = 4
MARK_ROUNDS = 500_000
"""16 bits are too few to find a key by, and to test one costs about as much as hashing all numbers
of a hospital under it."""


def pseudonym(kind: str, value: str, salt: str) -> str:
    """Hash an identity so that only the holder of the key can find it again.

    Args:
        kind: What is named: "patient", "study", "series", "frame" or "file".
        value: The identity.
        salt: The user's key.

    Returns:
        Hexadecimal digits, always the same for the same arguments.

    Example:
        >>> pseudonym("patient", "4711", "a key") == pseudonym("patient", "4711", "a key")
        True
        >>> pseudonym("patient", "4711", "a key") == pseudonym("study", "4711", "a key")
        False
    """
    digest = hmac.new(salt.encode(), _bytes(f"{kind}\0{value}"), hashlib.sha256)
    return digest.hexdigest()[:PSEUDONYM_DIGITS]


@lru_cache
def key_mark(salt: str) -> str:
    """Mark a key, so that pseudonyms of two keys are not compared in vain.

    Args:
        salt: The user's key.

    Returns:
        Hexadecimal digits; two keys share them once in 65,536.
    """
    digest = hashlib.pbkdf2_hmac("sha256", salt.encode(), b"petcast", MARK_ROUNDS)
    return digest.hex()[:MARK_DIGITS]


def _bytes(text: str) -> bytes:
    """Also of a path whose bytes are no UTF-8, as old disks have them."""
    return text.encode(errors="surrogateescape")


def patient_identity(patient_id: str, issuer: str = "") -> str:
    """Name a patient so that equal numbers of two hospitals stay two patients.

    Args:
        patient_id: PatientID (0010,0020).
        issuer: IssuerOfPatientID (0010,0021), where there is one.

    Returns:
        What `pseudonym("patient", …)` is to be given; the number itself where no issuer is named.

    Example:
        >>> patient_identity("4711"), patient_identity("4711", "St Mary")
        ('4711', '4711 of St Mary')
    """
    return f"{patient_id} of {issuer}" if issuer else patient_id


def plain_number(patient_id: str) -> str:
    """Reduce a patient's number to what two systems that write it differently agree on.

    Args:
        patient_id: PatientID (0010,0020).

    Returns:
        The number without case, blanks and leading zeros.

    Example:
        >>> plain_number("00 47 ab") == plain_number("47AB")
        True
    """
    return "".join(patient_id.split()).casefold().lstrip("0")


Person = tuple[str, str, str]
"""Hashes of a patient's name, date of birth and sex; empty where the header is silent. They are
compared within one scan, and never written."""

NAMELESS = re.compile(
    "(anon|anonym|anonymous|anonymi[sz]ed|deidentified|unknown|removed|redacted|none|noname|patient"
    "|name|x)+"
)
"""What de-identifications write in place of a name, plain letters alone: it is nobody's."""


def person_of(name: str, born: str, sex: str) -> Person:
    """Hash what tells people apart who share a number.

    Args:
        name: PatientName; case, spaces and separators do not count, nor words such as ANONYMOUS.
        born: PatientBirthDate.
        sex: PatientSex; only M and F say anything.

    Returns:
        A hash each.

    Example:
        >>> person_of("Doe^Jane", "", "O") == person_of("DOE^JANE^^", "", "")
        True
    """
    plain = "".join(filter(str.isalnum, name.casefold()))
    plain = "" if NAMELESS.fullmatch(plain) else plain
    sex = sex if sex in ("M", "F") else ""
    hashed = (hashlib.sha256(_bytes(one)).hexdigest() if one else "" for one in (plain, born, sex))
    name, born, sex = hashed
    return name, born, sex


def user_salt() -> str:
    """Give the user's secret key; it is made on first use.

    Returns:
        `PETCAST_SALT` where it is set, else the content of the user's key file.

    Raises:
        UsageError: The key is no text, or its file can be neither read nor made.
    """
    given = os.environ.get(SALT_VARIABLE, "")
    if given:
        return _text(given)
    path = _salt_path()
    try:
        if not path.exists():
            _make_salt(path)
        salt = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"the key for pseudonyms cannot be kept in {path} ({type(error).__name__}); "
            f"set {SALT_VARIABLE} to a secret of your own"
        ) from error
    if not salt:
        raise UsageError(f"{path} is empty; delete it, or set {SALT_VARIABLE}")
    return salt


def _text(given: str) -> str:
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{SALT_VARIABLE} holds bytes that are no UTF-8; set it to a secret in plain text"
        ) from None
    return given


def _salt_path() -> Path:
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        else:
            base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:
        raise UsageError(
            "you have no home folder to keep the key for pseudonyms in; set "
            f"{SALT_VARIABLE} to a secret of your own"
        ) from None
    return base / "petcast" / "salt"


def _make_salt(path: Path) -> None:
    """Make the key file whole, readable by its owner alone; the first of two processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
