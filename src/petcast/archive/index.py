"""The series index of the Imaging Data Commons, as the package `idc-index-data` carries it.

One row a series of every public collection. It is read from disk, without network; only the
columns and the rows of one collection leave the file.
"""

from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from petcast.errors import FormatError, UsageError

PACKAGE = "idc-index-data"
"""The distribution that carries the index."""

_COLUMNS = (
    "PatientID",
    "StudyInstanceUID",
    "Modality",
    "SOPClassUID",
    "PhotometricInterpretation",
    "instanceCount",
    "series_size_MB",
    "aws_bucket",
    "crdc_series_uuid",
)


@dataclass(frozen=True)
class IndexedSeries:
    """One series as the index describes it; its identifiers stay out of its `repr`.

    Attributes:
        subject: The collection's own public name of the patient.
        study_uid: StudyInstanceUID.
        modality: What the series calls itself: CT, PT, …
        sop_class_uid: What its files are.
        photometric: PhotometricInterpretation; several values are joined by commas.
        instances: Number of files.
        size_mb: Their size together, in 10⁶ bytes.
        bucket: The public bucket that holds them.
        uuid: The folder in the bucket; an immutable version of the series.
    """

    subject: str = field(repr=False)
    study_uid: str = field(repr=False)
    modality: str
    sop_class_uid: str
    photometric: str
    instances: int
    size_mb: float
    bucket: str
    uuid: str = field(repr=False)


def find_index() -> Path:
    """Find the installed index, without importing its package.

    Returns:
        The Parquet file.

    Raises:
        UsageError: The package is not installed.
    """
    spec = util.find_spec("idc_index_data")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "idc_index.parquet"
        if path.is_file():
            return path
    raise UsageError(f"the index of {PACKAGE} is not installed: pip install 'petcast[archive]'")


def index_version() -> str:
    """Say which version of the index is installed: another one may count other series.

    Returns:
        The version of the package, or "unknown".
    """
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "unknown"


def read_index(path: Path, collection_id: str) -> list[IndexedSeries]:
    """Read the original series of one collection, without results that others derived from it.

    Args:
        path: The index, a Parquet file.
        collection_id: The collection's identifier in the index, such as `lung_pet_ct_dx`.

    Returns:
        Its series, ordered by subject, study and folder.

    Raises:
        FormatError: The index is damaged, laid out in another way, or lacks the collection.
        UsageError: The reader of Parquet files is not installed.
    """
    rows = [_series(row) for row in _query(path, collection_id)]
    if not rows:
        raise FormatError(
            f"{path} lists no series of {collection_id}; install another version of {PACKAGE}"
        )
    return sorted(rows, key=lambda series: (series.subject, series.study_uid, series.uuid))


def _query(path: Path, collection_id: str) -> list[tuple[Any, ...]]:
    try:
        import duckdb
    except ImportError:
        raise UsageError("duckdb is not installed: pip install 'petcast[archive]'") from None
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    # The column names are constants of this module; path and collection are bound, not pasted.
    query = (
        f"SELECT {columns} FROM read_parquet(?) "  # noqa: S608
        "WHERE collection_id = ? AND analysis_result_id IS NULL"
    )
    # Without these two, a query may fetch extensions from the network.
    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    try:
        with duckdb.connect(config={"threads": "1", **offline}) as connection:
            return connection.execute(query, [str(path), collection_id]).fetchall()
    except duckdb.Error as error:
        kind = type(error).__name__
        raise FormatError(
            f"{path} cannot be read as a series index ({kind}): pip uninstall {PACKAGE}, and then "
            "pip install 'petcast[archive]'"
        ) from error


def _series(row: tuple[Any, ...]) -> IndexedSeries:
    """Take one row over; what is missing becomes empty, and empty never counts as usable."""
    subject, study, modality, sop_class, photometric, instances, size_mb, bucket, uuid = row
    return IndexedSeries(
        subject=subject or "",
        study_uid=study or "",
        modality=modality or "",
        sop_class_uid=sop_class or "",
        photometric=photometric or "",
        instances=int(instances or 0),
        size_mb=float(size_mb or 0.0),
        bucket=bucket or "",
        uuid=uuid or "",
    )
