"""The page that readers get: pictures, questions, and no word of what is what."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int16

from petcast.framing import BODY_HU, Box, crop_to
from petcast.reading.answers import ARTEFACTS, CALLS, FORMAT, QUALITIES
from petcast.report.png import bar_uri, grey, png_uri, to_levels

CT_WINDOWS_HU = {"lung": (-1350.0, 150.0), "soft tissue": (-160.0, 240.0)}
"""As a radiologist has them."""

PARTS = ("reading.css", "reading.js")


@dataclass(frozen=True)
class Seen:
    """What is seen of a slice besides its PET.

    Attributes:
        box: Rows and columns that are shown, by the CT, so that all its PET are cut alike.
        ct: Its pictures, by window.
    """

    box: Box
    ct: Mapping[str, str]


def draw_ct(ct_hu: Int16[np.ndarray, "y x"]) -> Seen:
    """Draw a slice's CT in both windows.

    Args:
        ct_hu: HU.

    Returns:
        The pictures, and what of the slice is shown.
    """
    box = crop_to(np.asarray(ct_hu) > BODY_HU)
    windows = CT_WINDOWS_HU.items()
    shades = {name: to_levels(np.asarray(ct_hu)[box], *window) for name, window in windows}
    return Seen(box, {name: png_uri(levels, grey()) for name, levels in shades.items()})


def draw_pet(suv: Float[np.ndarray, "y x"], seen: Seen, suv_max: float) -> str:
    """Draw a PET as it is read, hot spots black.

    Args:
        suv: SUV.
        seen: Its slice's.
        suv_max: What is black.

    Returns:
        A picture of the same size, and as long a text, for every PET of the slice: a smooth one
        compresses better, so lengths in the page's source would tell what is what.
    """
    levels = to_levels(np.asarray(suv)[seen.box], 0.0, suv_max)
    return png_uri(levels, grey(inverted=True), compressed=False)


def write_page(
    key: Mapping[str, Any], places: Sequence[int], pets: Sequence[str], seen: Sequence[Seen]
) -> str:
    """Write the page as text; the same content gives the same text.

    Args:
        key: Of the reading; only its id, its SUV window and numbers of pictures are shown.
        places: Which slice each picture shows.
        pets: The pictures, in their order.
        seen: The slices.

    Returns:
        HTML that loads nothing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    data = {
        "format": FORMAT, "reading": key["id"], "calls": CALLS, "qualities": QUALITIES,
        "artefacts": ARTEFACTS,
        "images": [{"pet": pet, "slice": at} for pet, at in zip(pets, places, strict=True)],
        "slices": [one.ct for one in seen],
    }  # fmt: skip
    loader = PackageLoader("petcast.reading")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style, script = (loader.get_source(environment, name)[0] for name in PARTS)
    page = environment.get_template("reading.html.j2").render(
        style=style, style_hash=_hash(style), script=script, script_hash=_hash(script),
        data=json.dumps(data).replace("<", "\\u003c"), pictures=len(pets), slices=len(seen),
        synthetic=len(key["sources"]) - 1, suv_max=f"{key['suv_max']:g}",
        windows=list(CT_WINDOWS_HU), bar=bar_uri(grey(inverted=True)),
        minutes=max(round(len(pets) / 4), 1),
    )  # fmt: skip
    return page + "\n"


def _hash(text: str) -> str:
    """What the page's policy allows: this very style sheet and script, and nothing else."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
