"""How well a study's CT and PET lie on each other, measured on the model grid.

    scene    both at 4 mm: body, trunk, arms, lungs, and the tissues' shares
    search   the translation at which the CT's tissues explain the PET best
    dome     the height of the right dome on PET, and the slice where the two disagree most
    measure  the figures, their tolerances and the warnings

Nothing is moved by what is found here, and no study is refused for it.
"""

from petcast.registration.measure import Code, Registration, measure_registration
from petcast.registration.search import Shift

__all__ = ["Code", "Registration", "Shift", "measure_registration"]
