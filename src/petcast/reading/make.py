"""From pairs and runs to a reading."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import petcast
from petcast.checkpoint import Card, load_synthesizer
from petcast.claim import trained_on
from petcast.dataset import require_finite
from petcast.device import choose_device
from petcast.disk.durable import write_json, write_text
from petcast.errors import DataError, UsageError
from petcast.evaluate.measure import refuse_not_finite
from petcast.models.synthesizer import Synthesizer
from petcast.pairs import PairedStudy, Pairs
from petcast.predict import predict_slices
from petcast.progress import track
from petcast.reading.answers import FORMAT, KEY_FILE, PAGE_FILE, REAL, id_of, read_key
from petcast.reading.order import Place, Shown, choose_places, put_in_order
from petcast.reading.page import Seen, draw_ct, draw_pet, write_page
from petcast.uncertainty.runs import require_grid
from petcast.words import count

SLICES = 24
SUV_MAX = 7.0
LEAST_SUV_MAX = 0.1


@dataclass(frozen=True)
class Made:
    """A reading that was made.

    Attributes:
        page: What readers get.
        key: What they do not get.
        pictures: How many they see.
        notes: What must be known of it.
    """

    page: Path
    key: Path
    pictures: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    name: str
    run: Path
    synthesizer: Synthesizer
    card: Card


def make_reading(
    pairs: Path,
    runs: Sequence[Path],
    out: Path,
    *,
    slices: int = SLICES,
    part: str = "test",
    suv_max: float = SUV_MAX,
    seed: int = 0,
    device: str = "auto",
) -> Made:
    """Write a page on which readers judge real and synthetic PET, and its key.

    The same call again writes the same; a folder with another reading's key is left alone.

    Args:
        pairs: A folder of pairs.
        runs: Whose synthetic PET are shown beside the real ones; their chosen epochs.
        out: The reading's folder.
        slices: How many are shown, each as real PET and as each run's.
        part: Which patients: "test", "validation" or "train".
        suv_max: The SUV that is black.
        seed: Of slices and order.
        device: Where to predict; "auto" takes a GPU where there is one.

    Returns:
        Where page and key lie.

    Raises:
        UsageError: There are no runs, a folder is not what it should be, or holds another reading.
        DataError: The part is empty, or a PET is not finite.
        GeometryError: A run was trained on another grid.
    """
    if not runs:
        raise UsageError("no run is given whose synthetic PET could be judged; name one or more")
    if slices < 1 or not (LEAST_SUV_MAX <= suv_max < math.inf):
        raise UsageError(f"{slices} slices up to SUV {suv_max:g} cannot be shown; give one or more "
                         f"slices and a finite SUV of {LEAST_SUV_MAX:g} or more")  # fmt: skip
    store = Pairs.open(pairs)
    studies = store.studies(part)
    if not studies:
        raise DataError(f"the pairs hold no {part} patients; see `split` in pairs.json")
    sources = _sources(runs)
    for source in sources:
        require_grid(store, source.card)
    held = {(study.patient, study.id): study.slices for study in studies}
    places = choose_places(held, slices, seed=seed)
    order = put_in_order(places, 1 + len(sources), seed=_secret(store, sources, seed))
    key = _key(store, sources, places, order, part, suv_max, seed)
    _require_free(out, key["id"])
    seen, pictures = _draw(studies, sources, places, suv_max, device)
    pets = [pictures[shown.source, shown.place] for shown in order]
    page = write_page(key, [shown.place for shown in order], pets, seen)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / KEY_FILE, key)
    write_text(out / PAGE_FILE, page)
    notes = [*_notes(studies, sources, places, slices, part), *_cut_short(sources, suv_max)]
    return Made(out / PAGE_FILE, out / KEY_FILE, len(order), tuple(notes))


def _sources(runs: Sequence[Path]) -> list[_Source]:
    loaded = [(run, *load_synthesizer(run)) for run in runs]
    names: list[str] = [card.recipe.model.name for _, _, card in loaded]
    if len(set(names)) < len(names):
        names = [f"{name} ({run.resolve().name})" for name, run in zip(names, runs, strict=True)]
    if len(set(names)) < len(names):
        raise UsageError(f"two of the runs would both be called {_twice(names)}: give each once, "
                         "and rename a folder where two have one name")  # fmt: skip
    return [_Source(name, *one) for name, one in zip(names, loaded, strict=True)]


def _twice(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _secret(store: Pairs, sources: Sequence[_Source], seed: int) -> str:
    """What the order is drawn from: the seed alone would tell it to whoever has petcast."""
    hidden = [seed, store.index["hash"], *(source.card.sha256 for source in sources)]
    return json.dumps(hidden, sort_keys=True)


def _key(
    store: Pairs,
    sources: Sequence[_Source],
    places: Sequence[Place],
    order: Sequence[Shown],
    part: str,
    suv_max: float,
    seed: int,
) -> dict[str, Any]:
    names = [REAL, *(source.name for source in sources)]
    key = {
        "format": FORMAT, "petcast": petcast.__version__, "part": part,
        "data_hash": store.index["hash"], "suv_max": suv_max, "seed": seed,
        "sources": [{"name": REAL}, *map(_described, sources)],
        "images": [
            {"source": names[one.source], **vars(places[one.place]), "repeats": one.repeats}
            for one in order
        ],
    }  # fmt: skip
    return {"id": id_of(key), **key}


def _described(source: _Source) -> dict[str, Any]:
    return {"name": source.name, "weights": source.card.sha256, "epoch": source.card.epoch}


def _require_free(out: Path, key_id: str) -> None:
    if (out / KEY_FILE).exists():
        if read_key(out)["id"] != key_id:
            raise UsageError(f"{out} holds another reading, to which answers may be out; give "
                             "another --out")  # fmt: skip
    elif (out / PAGE_FILE).exists():
        raise UsageError(f"{out / PAGE_FILE} is there, without its {KEY_FILE}; give another --out")


def _draw(
    studies: Sequence[PairedStudy],
    sources: Sequence[_Source],
    places: Sequence[Place],
    suv_max: float,
    device: str,
) -> tuple[list[Seen], dict[tuple[int, int], str]]:
    """Each slice's CT, and its PET by source and slice."""
    seen, pictures = {}, {}
    where = choose_device(device)
    shown = {place.study for place in places}
    for study in track([one for one in studies if one.id in shown], "drawing"):
        require_finite([study])
        ct, pets = study.ct, [np.asarray(study.pet)]
        for source in sources:
            suv = predict_slices(source.synthesizer, ct, device=where, last_only=True)[-1]
            refuse_not_finite(suv, f"study {study.id}, {source.name}")
            pets.append(suv)
        for k, place in enumerate(places):
            if place.study == study.id:
                seen[k] = draw_ct(ct[place.slice])
                for number, suv in enumerate(pets):
                    pictures[number, k] = draw_pet(suv[place.slice], seen[k], suv_max)
    return [seen[k] for k in range(len(places))], pictures


def _notes(
    studies: Sequence[PairedStudy],
    sources: Sequence[_Source],
    places: Sequence[Place],
    wanted: int,
    part: str,
) -> list[str]:
    notes, seen, shown = [], False, {place.study for place in places}
    if len(places) < wanted:
        notes.append(f"there are no more than {count(len(places), 'slice')}")
    for source in sources:
        learned = trained_on(source.run)
        known = {s.patient for s in studies if s.id in shown and learned.knows(s)}
        seen = seen or bool(known)
        if known:
            notes.append(f"{source.name} was trained on {count(len(known), 'patient')} of those "
                         "shown: what readers say of it holds for no other patient")  # fmt: skip
    if part != "test" and not seen:
        notes.append(f"these are {part} patients, by whom a model may have been chosen")
    return notes


def _cut_short(sources: Sequence[_Source], suv_max: float) -> list[str]:
    """Say who never learned spots as dark as real ones may be: they would tell all."""
    return [
        f"{source.name} learned SUV up to {top:g}, and the pictures show up to {suv_max:g}: what "
        f"is hotter tells the real PET; --suv-max {top:g} would not"
        for source in sources
        if (top := source.card.recipe.model.suv_window[1]) < suv_max
    ]
