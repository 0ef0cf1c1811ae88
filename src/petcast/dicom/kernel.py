"""Whether a CT's reconstruction kernel is soft or sharp; every vendor has its own alphabet."""

import re

SOFT = {"STANDARD", "SOFT", "DETAIL", "CHST", "CHEST", "STND", "A", "B", "C", "BODY"}
SHARP = {"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "D", "E", "L", "F", "Y-SHARP"}
"""GE's and Philips' names."""

SIEMENS = re.compile(r"[A-Z][A-Z]?(\d{2})[A-Z]?")
SIEMENS_SHARP_FROM = 50
TOSHIBA = re.compile(r"FC(\d{2})")
TOSHIBA_SHARP = {*range(30, 60), 81}
"""FC30 to FC39 are for bone, FC50 to FC59 for the lung; FC81 is "Bone Sharp" (Med. Phys. 48:2760,
2021, doi:10.1002/mp.14789)."""
TOSHIBA_UNKNOWN = range(80, 90)
"""The rest of FC81's decade: hardly soft, and no source says more."""


def kernel_class(kernel: str) -> str:
    """Sort a ConvolutionKernel.

    Args:
        kernel: As the header writes it; of several values the first counts.

    Returns:
        "soft", "sharp", or empty where the name is not known.

    Example:
        >>> kernel_class("STANDARD"), kernel_class("B70f"), kernel_class("FC51"), kernel_class("?")
        ('soft', 'sharp', 'sharp', '')
    """
    name = kernel.partition("\\")[0].strip().upper()
    if name in SOFT | SHARP:
        return "soft" if name in SOFT else "sharp"
    if toshiba := TOSHIBA.fullmatch(name):
        number = int(toshiba[1])
        known = "" if number in TOSHIBA_UNKNOWN else "soft"
        return "sharp" if number in TOSHIBA_SHARP else known
    if siemens := SIEMENS.fullmatch(name):
        return "sharp" if int(siemens[1]) >= SIEMENS_SHARP_FROM else "soft"
    return ""
