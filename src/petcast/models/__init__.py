"""The generators of the study, their discriminator, and the synthesizer that speaks HU and SUV."""

from petcast.models.build import build_generator
from petcast.models.discriminator import Discriminator
from petcast.models.synthesizer import Synthesizer

__all__ = ["Discriminator", "Synthesizer", "build_generator"]
