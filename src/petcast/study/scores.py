"""Scores of a study: what its tables and figures are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petcast.catalogue import Column
from petcast.evaluate.baselines import TRIVIAL
from petcast.evaluate.comparison import Paired, compare
from petcast.study.compare import Worth, worth_of
from petcast.study.outcome import Mean, Outcome
from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.tables import Kind
from petcast.study.trivial import Means

REFERENCES = ("U-Net", "Stage01")
"""What every generator is compared with."""


@dataclass(frozen=True)
class Scores:
    """All that the tables of scores are made of.

    Attributes:
        generators: In the paper's order.
        outcomes: Of each protocol and generator.
        trivial: Of each protocol, the images that none made.
        epochs: What the recipe asks for.
        over_slices: As `trivial`, but over slices under both protocols, as curves of epochs are.
    """

    generators: Sequence[str]
    outcomes: Mapping[tuple[Protocol, str], Outcome]
    trivial: Mapping[Protocol, Means]
    epochs: int
    over_slices: Mapping[Protocol, Means]

    def mean(self, generator: str, column: Column) -> Mean | None:
        """The sound number of a generator.

        Args:
            generator: Its name.
            column: Which.

        Returns:
            Its mean over test patients; None where it was not measured.
        """
        return self.outcomes["sound", generator].means.get(column.at)

    def worth(self, column: Column) -> Worth | None:
        """What the published protocol adds.

        Args:
            column: One of the paper's.

        Returns:
            Over all generators that have both numbers.
        """
        published, sound, last = {}, {}, {}
        for name in self.generators:
            peak, mean = self.outcomes["published", name].peak(column), self.mean(name, column)
            if peak and mean:
                published[name], last[name], sound[name] = peak.value, peak.last, mean.value
        zeros = [self.trivial[p].get("zero", {}).get(column.at) for p in PROTOCOLS]
        both = (zeros[0].value, zeros[1].value) if zeros[0] and zeros[1] else None
        return worth_of(published, sound, last, both)

    def paired(self, generator: str, reference: str, column: Column) -> Paired | None:
        """One generator against another, patient by patient, under the sound protocol.

        Args:
            generator: Its name.
            reference: The other's.
            column: Which.

        Returns:
            The comparison; None where one of them was not measured.
        """
        if reference not in self.generators or generator == reference:
            return None
        mine, theirs = (
            self.outcomes["sound", name].patients.get(column.at, {})
            for name in (generator, reference)
        )
        return compare(mine, theirs)


def kind_of(name: str) -> Kind:
    """Tell generators from trivial images.

    Args:
        name: Of either.

    Returns:
        The kind of its rows.
    """
    return "trivial" if name in TRIVIAL else "model"


MEANINGS = {
    "zero": "no uptake anywhere",
    "train-mean": "mean training slice",
    "body-constant": "one SUV inside the body",
    "DSGGAN": "reconstruction",
}


def meaning_of(name: str) -> str:
    """Say in a few words what a row is, where its name does not.

    Args:
        name: Of a generator or a trivial image.

    Returns:
        The words, or nothing.
    """
    return MEANINGS.get(name, "")
