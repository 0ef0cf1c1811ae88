"""One self-contained page about a trained, evaluated run; it reads files and nothing else.

    page          gathers what the others say of a run
    content       what all of them say together
    card          the same numbers as a model card
    study         the page of a study
    inputs        the files, each of which may be missing or older
    arrays        the arrays among them
    templating    fills `templates/`

The page from top to bottom:

    verdict       what the numbers say, in three sentences
    claims        the four numbers that it rests on
    closer        what pixel metrics do not show, in one
    strips        one metric as dots on a line
    tables        the scores
    comparisons   the model against stages and trivial images, patient by patient
    worst         worst patients and slices
    lesions       their uptake, which are shown, which invented
    bland_altman  predicted and real uptake
    artefacts     lattice, blur and noise
    uncertainty   whether intervals hold what they promise
    montage       slices side by side, as the paper's Figure 5
    curves        over epochs, as its Figures 2 to 4
    data          which data were used, and which refused
    registration  how CT and PET lie on each other
    provenance    versions, hashes, and what does not fit
    limits        what a synthetic PET can never show
    answers       what a study's numbers say

What they share:

    numbers       how numbers are written
    plot          axes, lines and marks
    png           pictures inside the page
"""

from petcast.report.page import write_report

__all__ = ["write_report"]
