"""The rows that no generator made: zero, body-constant and train-mean, under each protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from petcast.catalogue import Place
from petcast.disk.durable import read_json, write_json
from petcast.evaluate.baselines import TRIVIAL, baselines_of, baselines_of_truth
from petcast.evaluate.measure import measure_slices, region_masks
from petcast.evaluate.statistics import SEED, Scores, summarise
from petcast.pairs import Pairs
from petcast.study.outcome import Mean
from petcast.study.protocol import Protocol

TRIVIAL_FILE = "trivial.json"

FORMAT = 2

WHOLE_PART = "all slices"
"""Who slices belong to where their patients do not matter."""

Means = dict[str, dict[Place, Mean]]


@dataclass(frozen=True)
class Trivial:
    """What images that no generator made come to, under one protocol.

    Attributes:
        means: By image, and by region and metric, as the protocol averages: over slices or
            patients. Nothing where no slice tests.
        over_slices: The same over all slices alike: what curves of epochs are compared with.
    """

    means: Means
    over_slices: Means


def trivial_rows(folder: Path, protocol: Protocol, suv_window: tuple[float, float]) -> Trivial:
    """Measure the trivial images as the protocol measures generators, or read what was measured.

    Args:
        folder: The protocol's division of the pairs.
        protocol: "published" averages over all slices, "sound" over patients.
        suv_window: SUV mapped to 0 and 1 for the image metrics.

    Returns:
        The images' numbers.
    """
    pairs, path = Pairs.open(folder), folder / TRIVIAL_FILE
    about = {"format": FORMAT, "data": pairs.index["hash"], "suv_window": list(suv_window)}
    document = read_json(path) if path.exists() else {}
    if {key: document.get(key) for key in about} != about:
        document = about | _measure(pairs, protocol, suv_window)
        write_json(path, document)
    return Trivial(_read(document["rows"]), _read(document["over_slices"]))


def _measure(
    pairs: Pairs, protocol: Protocol, suv_window: tuple[float, float]
) -> dict[str, list[dict[str, Any]]]:
    learned = baselines_of(pairs.studies("train"))
    scores, over_slices = Scores(), Scores()
    for study in pairs.studies("test"):
        masks = region_masks(np.asarray(study.regions), np.asarray(study.ct))
        known = learned or baselines_of_truth(study.pet, masks["body"], f"study {study.id}")
        whose = study.patient if protocol == "sound" else WHOLE_PART
        for name, image in known.images(masks["body"]).items():
            values = measure_slices(image, study.pet, masks, suv_window)
            scores.add(name, whose, values)
            over_slices.add(name, WHOLE_PART, values)
    return {"rows": _rows(scores), "over_slices": _rows(over_slices)}


def _rows(scores: Scores) -> list[dict[str, Any]]:
    return [
        {"name": row.name, "region": row.region, "metric": row.metric, "value": row.value,
         "low": row.low, "high": row.high, "n": row.n}
        for row in summarise(scores.patients(), seed=SEED)
    ]  # fmt: skip


def _read(rows: Sequence[Mapping[str, Any]]) -> Means:
    means: Means = {name: {} for name in TRIVIAL}
    for row in rows:
        mean = Mean(row["value"], row["low"], row["high"], row["n"])
        means[row["name"]][row["region"], row["metric"]] = mean
    return {name: own for name, own in means.items() if own}
