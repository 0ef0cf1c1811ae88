"""Scores of a study: what its tables and figures are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petcast.evaluate.baselines import TRIVIAL
from petcast.evaluate.comparison import Paired, compare
from petcast.study.compare import Worth, worth_of
from petcast.study.outcome import Key, Mean, Outcome
from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.tables import Kind
from petcast.study.trivial import Means

REFERENCES = ("U-Net", "Stage01")
"""What every generator is compared with."""


@dataclass(frozen=True)
class Metric:
    """A column of scores.

    Attributes:
        key: As evaluation.json and metrics.jsonl call it.
        region: Where it is measured.
        label: Its heading.
        digits: Decimals; the paper prints two more of PSNR, which stand in the CSV.
        sign: 1 where more is better, −1 where less is, 0 where neither.
    """

    key: str
    region: str
    label: str
    digits: int
    sign: int

    @property
    def at(self) -> Key:
        """Its place in an evaluation."""
        return self.region, self.key


PAPER_METRICS = (
    Metric("ssim", "whole", "SSIM", 4, 1),
    Metric("psnr", "whole", "PSNR dB", 2, 1),
    Metric("mae", "whole", "MAE", 4, -1),
)
BODY_METRICS = (
    Metric("ssim", "body", "SSIM", 3, 1),
    Metric("psnr", "body", "PSNR dB", 2, 1),
    Metric("suv_mae", "body", "SUV error", 3, -1),
    Metric("suv_bias", "body", "SUV bias", 3, 0),
)


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

    def mean(self, generator: str, metric: Metric) -> Mean | None:
        """The sound number of a generator.

        Args:
            generator: Its name.
            metric: Which.

        Returns:
            Its mean over test patients; None where it was not measured.
        """
        return self.outcomes["sound", generator].means.get(metric.at)

    def worth(self, metric: Metric) -> Worth | None:
        """What the published protocol adds.

        Args:
            metric: One of the paper's.

        Returns:
            Over all generators that have both numbers.
        """
        published, sound, last = {}, {}, {}
        for name in self.generators:
            peak, mean = self.outcomes["published", name].peak(metric.key), self.mean(name, metric)
            if peak and mean:
                published[name], last[name], sound[name] = peak.value, peak.last, mean.value
        zeros = [self.trivial[p].get("zero", {}).get(metric.at) for p in PROTOCOLS]
        both = (zeros[0].value, zeros[1].value) if zeros[0] and zeros[1] else None
        return worth_of(published, sound, last, both)

    def paired(self, generator: str, reference: str, metric: Metric) -> Paired | None:
        """One generator against another, patient by patient, under the sound protocol.

        Args:
            generator: Its name.
            reference: The other's.
            metric: Which.

        Returns:
            The comparison; None where one of them was not measured.
        """
        if reference not in self.generators or generator == reference:
            return None
        mine, theirs = (
            self.outcomes["sound", name].patients.get(metric.at, {})
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
