"""Every error that petcast raises on purpose.

The tree, with the exit status of the command line beside each branch::

    PetcastError
    ├── UsageError            2  the call itself is wrong: options, paths, a recipe, a split file
    │   ├── RecipeError       2  an unknown, missing or contradictory knob in a recipe
    │   ├── BusyError         2  another process works in the folder
    │   └── MemoryShortError  2  a processor or a GPU has less memory than the work needs
    ├── DataError             3  the data cannot be used, and why
    │   ├── RefusedError      3  … for one of the reasons of petcast.refusal, with its code
    │   ├── UnitError         3  HU where SUV was needed, and the like
    │   ├── GeometryError     3  grids, axes or positions that do not fit
    │   ├── FormatError       3  a file that is damaged, half-written or not what it claims to be
    │   └── NotFiniteError    3  a prediction that holds NaN or infinite values
    ├── TrainingError         1  training could not go on (NaN, divergence)
    └── PartnerError          1  another process of the same training failed, and says why itself

Each message says which file or series, what was found, what was expected and what to do.
No message carries a patient's name, identifier or date.
"""


class PetcastError(Exception):
    """The root: catch it to catch everything petcast raises on purpose."""

    exit_status = 1


class UsageError(PetcastError):
    """The call is wrong: an option, a path, a recipe or a split file."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe has an unknown, missing or contradictory knob."""


class BusyError(UsageError):
    """Another process works in the folder."""


class MemoryShortError(UsageError):
    """A processor or a GPU has less memory than the work needs."""


class DataError(PetcastError):
    """The data cannot be used."""

    exit_status = 3


class UnitError(DataError):
    """A volume holds another unit than the one that was asked for."""


class GeometryError(DataError):
    """Grids, axes or positions do not fit together."""


class FormatError(DataError):
    """A file is damaged, half-written or not what it claims to be."""


class NotFiniteError(DataError):
    """A prediction holds NaN or infinite values: no metric of it means anything."""


class TrainingError(PetcastError):
    """Training could not go on, for example because the loss became NaN."""


class PartnerError(PetcastError):
    """Another process of the same training failed, and says why itself."""
