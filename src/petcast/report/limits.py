"""Limits of use: what a synthetic PET can never show, on the page and on the card alike."""

LIMITS = (
    (
        "Research only.",
        "This is no medical device, and nobody may be diagnosed, staged or treated by such an "
        "image.",
    ),
    (
        "It measures no tracer.",
        "The SUV in it is what patients with a similar CT tend to have, not what this patient took "
        "up.",
    ),
    (
        "A lesion without a sign on the CT cannot be found,",
        "and a cold one with a sign can be painted hot. Averages over slices hide both: look at "
        "the pictures and at the lesions one by one.",
    ),
    (
        "It knows what it was trained on.",
        "Another scanner, dose, tracer, posture, body region or population is unknown ground, and "
        "the intervals do not cover it.",
    ),
    (
        "Dark pixels flatter.",
        "Most of a PET slice is background, so whole-slice numbers are high for an empty image, "
        "too: read them beside the trivial rows.",
    ),
)
"""Each in bold and plain words."""

INTENDED = (
    "Research on image synthesis: comparing models and protocols, studying what uptake a CT can "
    "and cannot foretell, making test data.",
    "Only on data like those it was trained on, and only with the limits below in mind.",
)
"""What a model is for, on its card."""
