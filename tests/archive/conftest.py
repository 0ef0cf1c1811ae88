"""A small index and a stand-in bucket on loopback that can misbehave."""

import hashlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import pytest

CT, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SOP_CLASSES = {"CT": CT, "PT": PET, "SC": CAPTURE}


@pytest.fixture
def sop_classes() -> dict[str, str]:
    return SOP_CLASSES


@pytest.fixture
def write_index(tmp_path: Path) -> Callable[..., Path]:
    """Write an index with the columns of the real one, from rows given as dictionaries."""

    def write(rows: list[dict[str, Any]], drop: str = "", name: str = "index.parquet") -> Path:
        import duckdb

        columns = {
            "collection_id": "VARCHAR",
            "analysis_result_id": "VARCHAR",
            "PatientID": "VARCHAR",
            "StudyInstanceUID": "VARCHAR",
            "Modality": "VARCHAR",
            "SOPClassUID": "VARCHAR",
            "PhotometricInterpretation": "VARCHAR",
            "instanceCount": "BIGINT",
            "series_size_MB": "DOUBLE",
            "aws_bucket": "VARCHAR",
            "crdc_series_uuid": "VARCHAR",
        }
        columns.pop(drop, None)
        path = tmp_path / name
        with duckdb.connect() as connection:
            head = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            connection.execute(f"CREATE TABLE series ({head})")
            holes = ", ".join("?" * len(columns))
            for row in rows:
                values = [row.get(column) for column in columns]
                connection.execute(f"INSERT INTO series VALUES ({holes})", values)
            connection.execute("COPY series TO ? (FORMAT parquet)", [str(path)])
        return path

    return write


@dataclass
class StandIn:
    """A bucket's content, its faults, and what was asked of it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    etags: dict[str, str] = field(default_factory=dict)
    listing: Callable[[bytes], bytes] = lambda page: page
    page_size: int = 1000
    delay_s: float = 0.0
    on_get: Callable[[str], None] = lambda key: None
    asked: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint: str = ""

    def next_fault(self, key: str) -> str:
        with self.lock:
            self.asked[key] += 1
            waiting = self.faults[key]
            if not waiting:
                return ""
            return waiting[0] if waiting[0].endswith("!") else waiting.pop(0)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a file as on its way; over before the reply, after which the next may be asked."""
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        yield
        with self.lock:
            self.in_flight -= 1

    def page(self, prefix: str, token: str) -> bytes:
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        start = int(token or 0)
        rows = "".join(
            f"<Contents><Key>{key}</Key><ETag>&quot;{self.etag(key)}&quot;</ETag>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[start : start + self.page_size]
        )
        end = start + self.page_size
        more = end < len(keys)
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        return self.listing(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
            "</ListBucketResult>".encode()
        )

    def etag(self, key: str) -> str:
        return self.etags.get(key) or hashlib.md5(self.objects[key]).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves one stand-in; a subclass names it."""

    protocol_version = "HTTP/1.1"
    bucket: StandIn

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if "list-type" in query:
            prefix = query["prefix"][0]
            body = self.bucket.page(prefix, query.get("continuation-token", [""])[0])
            key = f"list:{prefix}"
        elif key in self.bucket.objects:
            self.bucket.on_get(key)
            with self.bucket.counted():
                time.sleep(self.bucket.delay_s)
            body = self.bucket.objects[key]
        else:
            self.bucket.next_fault(key)
            self._send(404, b"<Error/>")
            return
        self._misbehave(self.bucket.next_fault(key).rstrip("!"), body)

    def _misbehave(self, fault: str, body: bytes) -> None:
        half = body[: len(body) // 2]
        if fault.isdigit():
            self._send(int(fault), b"<Error/>")
        elif fault in ("hang", "hang-up"):
            time.sleep(60.0 if fault == "hang" else 0.0)
            self.close_connection = True
        else:
            told = {
                "truncate": half,
                "shorter": half,
                "longer": body + b"more",
                "corrupt": bytes(byte ^ 1 for byte in body),
                "": body,
            }[fault]
            self._send(200, told, announced=len(body) if fault == "truncate" else None)

    def _send(self, status: int, body: bytes, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in for the public buckets; answers on 127.0.0.1 only."""
    monkeypatch.setenv("no_proxy", "*")
    stand_in = StandIn()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("StandInHandler", (Handler,), {"bucket": stand_in})
    )
    server.daemon_threads = True
    stand_in.endpoint = f"http://127.0.0.1:{server.server_port}/{{bucket}}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield stand_in
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Cohort:
    """Two usable subjects and what goes with them."""

    index: Path
    bucket: StandIn

    def keys(self, subject: str = "") -> list[str]:
        return [k for k in self.bucket.objects if k.startswith(_prefix(subject))]


def _prefix(subject: str) -> str:
    return "" if not subject else str(UUID(int=_NUMBERS[subject]))[:8]


_NUMBERS = {"A0001": 1 << 96, "G0002": 2 << 96}


@pytest.fixture
def cohort(bucket: StandIn, write_index: Callable[..., Path]) -> Cohort:
    """Subjects A0001 and G0002, each a CT of four images and a PET of three."""
    rows = []
    for subject, number in _NUMBERS.items():
        for modality, count in (("CT", 4), ("PT", 3)):
            uuid = str(UUID(int=number + count))
            files = {
                f"{uuid}/{UUID(int=n + 1)}.dcm": bytes([n + count]) * (3000 + 100 * n)
                for n in range(count)
            }
            bucket.objects |= files
            rows.append(
                {
                    "collection_id": "lung_pet_ct_dx",
                    "PatientID": f"Lung_Dx-{subject}",
                    "StudyInstanceUID": f"1.2.3.{subject}",
                    "Modality": modality,
                    "SOPClassUID": SOP_CLASSES[modality],
                    "PhotometricInterpretation": "MONOCHROME2",
                    "instanceCount": count,
                    "series_size_MB": sum(map(len, files.values())) / 1e6,
                    "aws_bucket": "stand-in",
                    "crdc_series_uuid": uuid,
                }
            )
    return Cohort(write_index(rows), bucket)
