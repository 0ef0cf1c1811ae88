"""Whether a CT's reconstruction kernel is soft or sharp; every vendor has its own alphabet."""

import re

SOFT = {"STANDARD", "SOFT", "DETAIL", "CHST", "CHEST", "STND", "A", "B", "C", "BODY"}
SHARP = {"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "D", "E", "L", "F", "Y-SHARP"}
"""GE's and Philips' names."""

SIEMENS = re.compile(r"[A-Z][A-Z]?(\d{2})[A-Z]?")
SIEMENS_SHARP_FROM = 50
TOSHIBA = re.compile(r"FC(\d{2})")
TOSHIBA_SHARP = range(30, 60)
"""FC30 to FC39 are for bone, FC50 to FC59 for the lung."""


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
        return "sharp" if int(toshiba[1]) in TOSHIBA_SHARP else "soft"
    if siemens := SIEMENS.fullmatch(name):
        return "sharp" if int(siemens[1]) >= SIEMENS_SHARP_FROM else "soft"
    return ""
