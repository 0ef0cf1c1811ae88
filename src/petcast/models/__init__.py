"""The generators of the study, their discriminator, and the synthesizer that speaks HU and SUV.

synthesizer    HU in, SUV out; normalisation lives there and nowhere else
build          the paper's thirteen generators by name (Table 2)
blocks         encoder, decoder, visual block (Eq. 1–5)
cascade        Table 1's stage, one to ten times
unet           the U-Net baseline, and Cas-UNet
dsggan         a reconstruction of DSGGAN
discriminator  PatchGAN
upsample       doubling as published, and two ways that leave no lattice
refinement     later stages that know the CT and add to the PET
members        several networks side by side, averaged
initialise     how weights begin
describe       parameters and operations: `petcast models`
"""

from petcast.models.build import build_generator
from petcast.models.discriminator import Discriminator
from petcast.models.synthesizer import Synthesizer

__all__ = ["Discriminator", "Synthesizer", "build_generator"]
