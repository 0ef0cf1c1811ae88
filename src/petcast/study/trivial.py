"""The rows that no generator made: zero, body-constant and train-mean, under each protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from petcast.durable import read_json, write_json
from petcast.evaluate.baselines import TRIVIAL, baselines_of, baselines_of_truth
from petcast.evaluate.measure import measure_slices, region_masks
from petcast.evaluate.statistics import Scores, summarise
from petcast.pairs import Pairs
from petcast.study.outcome import Key, Mean
from petcast.study.protocol import Protocol

TRIVIAL_FILE = "trivial.json"

Means = dict[str, dict[Key, Mean]]


def trivial_rows(folder: Path, protocol: Protocol, suv_window: tuple[float, float]) -> Means:
    """Measure the trivial images as the protocol measures generators, or read what was measured.

    Args:
        folder: The protocol's division of the pairs.
        protocol: "published" averages over all slices, "sound" over patients.
        suv_window: SUV mapped to 0 and 1 for the image metrics.

    Returns:
        Means by image, and by region and metric; nothing where no slice tests.
    """
    pairs, path = Pairs.open(folder), folder / TRIVIAL_FILE
    about = {"data": pairs.index["hash"], "suv_window": list(suv_window)}
    if path.exists():
        document = read_json(path)
        if {key: document.get(key) for key in about} == about:
            return _read(document["rows"])
    rows = _measure(pairs, protocol, suv_window)
    write_json(path, about | {"rows": rows})
    return _read(rows)


def _measure(
    pairs: Pairs, protocol: Protocol, suv_window: tuple[float, float]
) -> list[dict[str, Any]]:
    learned, scores = baselines_of(pairs.studies("train")), Scores()
    for study in pairs.studies("test"):
        masks = region_masks(np.asarray(study.regions), np.asarray(study.ct))
        known = learned or baselines_of_truth(study.pet, masks["body"], f"study {study.id}")
        whose = study.patient if protocol == "sound" else "all slices"
        for name, image in known.images(masks["body"]).items():
            scores.add(name, whose, measure_slices(image, study.pet, masks, suv_window))
    return [
        {"name": row.name, "region": row.region, "metric": row.metric, "value": row.value,
         "low": row.low, "high": row.high, "n": row.n}
        for row in summarise(scores.patients(), seed=0)
    ]  # fmt: skip


def _read(rows: Sequence[Mapping[str, Any]]) -> Means:
    means: Means = {name: {} for name in TRIVIAL}
    for row in rows:
        mean = Mean(row["value"], row["low"], row["high"], row["n"])
        means[row["name"]][row["region"], row["metric"]] = mean
    return {name: own for name, own in means.items() if own}
