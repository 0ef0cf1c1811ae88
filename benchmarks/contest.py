"""Recipes against each other on the same pairs and seeds: one command a table.

    python benchmarks/contest.py benchmarks/contests/better.toml \
        --data GE-TO-SIEMENS SIEMENS-TO-GE --epochs 60 --out better
    python benchmarks/contest.py benchmarks/contests/better.toml --data … --out better --cost

Each run is trained, measured by `petcast evaluate`, and swept: its weights stay for the first seed
alone. Interrupted and given again, it goes on where it was; finished runs are not trained again. A
second process may be given the same (perhaps `--only "NAME;NAME"`): each leaves to the other what
that one works on. Finished runs' tables: `--tables`. Contests may
share OUT, and so their runs. What it writes: OUT/better.md, .csv, .json, better-quality-cost.svg;
`--cost` measures time and memory alone and writes OUT/better-cost.json.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from petcast.contest.course import follow_all, plan
from petcast.contest.entrants import read_contest
from petcast.contest.results import write_cost, write_results
from petcast.contest.thin import label_of, thinned, unscored
from petcast.errors import PetcastError


def main() -> None:
    knobs = arguments()
    try:
        run(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("contest", type=Path, help="a TOML file with [[entrant]] tables")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], help="a setting that all share")
    parser.add_argument("--only", help="train these entrants, separated by semicolons")
    parser.add_argument("--every", type=int, default=1, help="take every so many slices")
    parser.add_argument("--keep", choices=["first", "all", "none"], default="first",
                        help="whose weights stay: the first seed's, all, none")  # fmt: skip
    parser.add_argument("--unscored", action="store_true",
                        help="spend no epoch's time on scoring test slices")  # fmt: skip
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--cost", action="store_true", help="measure time and memory, train little")
    parser.add_argument("--rounds", type=int, default=3, help="of --cost")
    parser.add_argument("--slices", type=int, default=64, help="of an epoch of --cost")
    return parser.parse_args()


def run(knobs: argparse.Namespace) -> None:
    contest = read_contest(knobs.contest)
    knobs.out.mkdir(parents=True, exist_ok=True)
    if knobs.every > 1:
        thin = knobs.out / "pairs"
        knobs.data = [thinned(d, thin / label_of(d) / "pairs", knobs.every) for d in knobs.data]
    shared = {"seeds": knobs.seeds, "epochs": knobs.epochs, "common": knobs.set}
    everyone = plan(contest.entrants, knobs.data, knobs.out, **shared)
    if knobs.cost:
        cost = {"common": knobs.set, "rounds": knobs.rounds, "slices": knobs.slices,
                "name": knobs.contest.stem}  # fmt: skip
        write_cost(contest, knobs.data[0], knobs.out, **cost)
    elif not knobs.tables:
        chosen = plan(contest.chosen(knobs.only), knobs.data, knobs.out, **shared)
        if knobs.unscored:
            index = {d: unscored(d, knobs.out / "unscored" / label_of(d)) for d in knobs.data}
            chosen = [replace(task, training=index[task.data]) for task in chosen]
        follow_all(chosen, keep=knobs.keep, tell=lambda line: print(line, flush=True))
    print(write_results(contest, everyone, knobs.out, knobs.set, knobs.contest.stem))


if __name__ == "__main__":
    main()
