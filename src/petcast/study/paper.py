"""The paper's own numbers, as printed in its Tables 2 to 4; ours stand beside them.

Those of Table 1 are what `petcast.models.cascade` is made of.
"""

from typing import NamedTuple

# Table 2, in millions, with the digits printed.
PARAMETERS_M = {
    "U-Net": "54.41",
    "Cas-UNet": "108.82",
    "DSGGAN": "92.54",
    "Stage01": "22.13",
    "Stage02": "44.26",
    "Stage03": "66.39",
    "Stage04": "88.52",
    "Stage05": "110.65",
    "Stage06": "132.77",
    "Stage07": "154.90",
    "Stage08": "177.03",
    "Stage09": "199.16",
    "Stage10": "221.29",
}

# Table 3: slice pairs.
SLICES = {"train": 400, "test": 64}


class PaperScore(NamedTuple):
    """A row of the paper's Table 4: the best over 200 test epochs, metric by metric."""

    ssim: float
    psnr: float
    mae: float


# Table 4.
SCORES = {
    "U-Net": PaperScore(0.9149, 27.7411, 0.0119),
    "Cas-UNet": PaperScore(0.9182, 27.9950, 0.0109),
    "DSGGAN": PaperScore(0.9122, 28.7630, 0.0106),
    "Stage01": PaperScore(0.9006, 28.3584, 0.0119),
    "Stage02": PaperScore(0.9122, 28.5897, 0.0110),
    "Stage03": PaperScore(0.9030, 28.7249, 0.0105),
    "Stage04": PaperScore(0.9160, 28.1237, 0.0110),
    "Stage05": PaperScore(0.9243, 28.1736, 0.0111),
    "Stage06": PaperScore(0.9237, 28.1355, 0.0105),
    "Stage07": PaperScore(0.9291, 28.2716, 0.0103),
    "Stage08": PaperScore(0.9134, 28.4860, 0.0119),
    "Stage09": PaperScore(0.9248, 28.4371, 0.0108),
    "Stage10": PaperScore(0.9288, 28.8474, 0.0103),
}
