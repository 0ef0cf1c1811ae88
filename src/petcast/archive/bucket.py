"""A public bucket over HTTPS: list a folder, fetch an object whole or not at all.

Only what a public bucket needs: no account, no signature. The reply is checked against the
listing: size always, MD5 where the ETag is one (it is not, where an object was uploaded in
parts).
"""

import hashlib
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, TypeVar

from petcast.archive.markup import parse_xml
from petcast.disk.durable import open_whole
from petcast.errors import DataError, FormatError, UsageError

ENDPOINT = "https://{bucket}.s3.amazonaws.com"
"""Where public buckets of the Imaging Data Commons answer."""

MAX_LISTING_BYTES = 16 * 1024 * 1024
"""A listing page names at most 1,000 objects, in some hundred bytes each."""

MAX_OBJECT_BYTES = 1024**3
"""No DICOM file of these collections comes near it."""

_CHUNK_BYTES = 256 * 1024
_LONGEST_PAUSE_S = 30.0
_MD5 = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteObject:
    """One object of a listing.

    Attributes:
        key: Its full name in the bucket.
        name: Its name in the folder; safe as a file name.
        size_bytes: Its size.
        md5: Its checksum as 32 hexadecimal digits; empty where the bucket tells none.
    """

    key: str
    name: str
    size_bytes: int
    md5: str


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try.

    Attributes:
        timeout_s: Longest silence of the server, in seconds.
        attempts: Tries for each request, the first one included.
        pause_s: Pause before the second try, in seconds; it doubles each time, up to 30 s.
    """

    timeout_s: float = 30.0
    attempts: int = 6
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeout_s <= 0 or self.pause_s < 0:
            raise UsageError(f"a download needs ≥ 1 attempt and a positive timeout, found {self}")


class StoppedError(DataError):
    """The download was told to stop."""


class UnreachableError(DataError):
    """There was no connection, however often it was tried."""


class _TransientError(Exception):
    """Trying again may help; the text says what happened, without the address."""


class _NoConnectionError(_TransientError):
    """Nobody answered."""


@dataclass(frozen=True)
class Bucket:
    """One public bucket.

    Attributes:
        name: Its name.
        endpoint: Its address; `{bucket}` stands for the name.
        patience: How long to wait and how often to try.
        stop: Set it, and all work in this bucket ends soon.
    """

    name: str
    endpoint: str
    patience: Patience
    stop: threading.Event

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.name):
            raise FormatError(f"the index names a bucket {self.name!r}, which no bucket is called")
        address = urllib.parse.urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise UsageError(f"an endpoint is an https address, found {self.endpoint!r}")

    def list_folder(self, folder: str) -> list[RemoteObject]:
        """List all objects of a folder, page by page.

        Args:
            folder: Its name, without a slash at the end.

        Returns:
            The objects, in the bucket's order.

        Raises:
            DataError: The bucket did not answer, or has no such folder.
            FormatError: The listing is damaged or names files outside the folder.
        """
        objects: list[RemoteObject] = []
        token = ""
        while True:
            page = self._list_page(folder, token)
            objects += page.objects
            if not page.next_token:
                return objects
            if page.next_token == token:
                raise FormatError(f"the listing of {self.name} runs in a circle")
            token = page.next_token

    def fetch(self, remote: RemoteObject, path: Path) -> None:
        """Fetch one object; the file appears under its name only when it is whole and checked.

        Args:
            remote: The object, from `list_folder`.
            path: The file to write.

        Raises:
            DataError: The bucket did not deliver it whole, however often it was asked.
            OSError: The disk is full, or the file cannot be written.
        """
        self._persist(lambda: self._fetch_once(remote, path))

    def _persist(self, request: Callable[[], Result]) -> Result:
        """Try again after what may pass; the pause doubles, and ends at once when told to stop."""
        pause_s = self.patience.pause_s
        problem = _TransientError()
        for attempt in range(self.patience.attempts):
            if self.stop.wait(pause_s if attempt else 0):
                raise StoppedError("the download was stopped")
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S) if attempt else pause_s
            try:
                return request()
            except _TransientError as error:
                problem = error
        failure = UnreachableError if isinstance(problem, _NoConnectionError) else DataError
        raise failure(
            f"the bucket {self.name} failed {self.patience.attempts} times, at last: {problem}; "
            "give the same command again later"
        )

    def _list_page(self, folder: str, token: str) -> "_Listing":
        query = {"list-type": "2", "prefix": f"{folder}/"}
        if token:
            query["continuation-token"] = token
        target = "?" + urllib.parse.urlencode(query)
        return _read_listing(self._persist(lambda: self._get_listing(target)), folder)

    def _get_listing(self, target: str) -> bytes:
        with self._open(target) as reply:
            content = b"".join(self._chunks(reply, MAX_LISTING_BYTES))
        # Where the connection breaks inside a listing, its end is missing: worth another try.
        if not content.rstrip().endswith(b"ListBucketResult>"):
            raise _TransientError("a listing came without its end")
        return content

    def _fetch_once(self, remote: RemoteObject, path: Path) -> None:
        checksum = hashlib.md5(usedforsecurity=False)
        size_bytes = 0
        with self._open(urllib.parse.quote(remote.key)) as reply, open_whole(path) as stream:
            for chunk in self._chunks(reply, remote.size_bytes):
                checksum.update(chunk)
                size_bytes += len(chunk)
                stream.write(chunk)
            if size_bytes != remote.size_bytes:
                raise _TransientError(f"{size_bytes:,} bytes came of {remote.size_bytes:,}")
            if remote.md5 and checksum.hexdigest() != remote.md5:
                raise _TransientError("the checksum does not fit the bytes")

    def _open(self, target: str) -> IO[bytes]:
        address = f"{self.endpoint.replace('{bucket}', self.name).rstrip('/')}/{target}"
        request = urllib.request.Request(address, headers={"User-Agent": "petcast"})  # noqa: S310
        try:
            # The scheme was checked to be http or https when the bucket was made.
            reply: IO[bytes] = urllib.request.urlopen(  # noqa: S310
                request, timeout=self.patience.timeout_s
            )
        except urllib.error.HTTPError as error:
            error.close()
            raise _judge_status(error.code, self.name) from None
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise _NoConnectionError(f"no connection ({_cause(error)})") from None
        return reply

    def _chunks(self, reply: IO[bytes], max_bytes: int) -> Iterator[bytes]:
        """Read to the end, but never much more than was announced."""
        left_bytes = max_bytes
        while True:
            if self.stop.is_set():
                raise StoppedError("the download was stopped")
            try:
                chunk = reply.read(_CHUNK_BYTES)
            except (HTTPException, OSError) as error:
                raise _TransientError(f"the connection broke ({_cause(error)})") from None
            if not chunk:
                return
            left_bytes -= len(chunk)
            if left_bytes < 0:
                raise _TransientError(f"more than {max_bytes:,} bytes came")
            yield chunk


@dataclass(frozen=True)
class _Listing:
    """One page; `next_token` is empty on the last one."""

    objects: tuple[RemoteObject, ...]
    next_token: str


def _read_listing(content: bytes, folder: str) -> _Listing:
    root = parse_xml(content, "a bucket's listing", MAX_LISTING_BYTES)
    fields = [{child.tag: child.text or "" for child in item} for item in root.iter("Contents")]
    objects = tuple(_read_object(item, folder) for item in fields)
    more = root.findtext("IsTruncated", "false") == "true"
    token = root.findtext("NextContinuationToken", "")
    if more and not token:
        raise FormatError("a bucket's listing says that it goes on, but not where")
    return _Listing(objects, token if more else "")


def _read_object(item: dict[str, str], folder: str) -> RemoteObject:
    key, size = item.get("Key", ""), item.get("Size", "")
    name = key.removeprefix(f"{folder}/")
    if name == key or not _FILE_NAME.fullmatch(name):
        raise FormatError("a bucket's listing names a file that is not directly in its folder")
    if not re.fullmatch(r"[0-9]{1,12}", size) or int(size) > MAX_OBJECT_BYTES:
        raise FormatError(f"a bucket's listing gives a size of {size[:40]!r} bytes")
    etag = item.get("ETag", "").strip('"').lower()
    return RemoteObject(key, name, int(size), etag if _MD5.fullmatch(etag) else "")


def _judge_status(status: int, bucket: str) -> Exception:
    """5xx and "slow down" pass; the rest stays as it is, however often one asks."""
    if status >= 500 or status in (408, 425, 429):
        return _TransientError(f"the server answered {status}")
    return DataError(
        f"the bucket {bucket} answered {status}; it may have moved on: install a newer "
        "idc-index-data"
    )


def _cause(error: Exception) -> str:
    """A short cause; some of these texts carry whole addresses, so only the kind is told."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return reason if isinstance(reason, str) else type(reason).__name__
