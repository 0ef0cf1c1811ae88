"""Let experts judge PET blindly, real and synthetic mixed, and count what they say.

Pixel metrics do not say whether a reader would take a synthetic PET for a real one, nor what
disturbs. A reading is one page that opens offline: PET slices in an order that tells nothing, the
CT beside each. The key stays with whoever made it; the readers' answers come back as files.

    order       which slices are shown, and when
    make        pairs and runs → READING/reading.html and key.json
    page        the page
    answers     key and answers, as files
    statistics  telling apart, agreement, intervals over patients
    score       answers → READING/scores.json
"""

from petcast.reading.make import Made, make_reading
from petcast.reading.score import printed, score_reading

__all__ = ["Made", "make_reading", "printed", "score_reading"]
