"""Who takes part: named recipes with settings, read from a TOML file."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from petcast.errors import RecipeError, UsageError
from petcast.recipe import Recipe, load_recipe

SUV_WINDOW = (0.0, 10.0)
"""Everyone is measured on this window, so that the numbers can be compared."""


class Entrant(BaseModel):
    """One recipe with a name.

    Attributes:
        name: What the tables call it.
        recipe: A built-in recipe or a TOML file.
        settings: Overrides, such as "model.name=U-Net".
        epochs: For each epoch of the contest, so many of this entrant: where all are given the
            same time and not the same epochs.
        published: Whether it is the paper's; by default, whether its recipe is "published".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    recipe: str
    settings: tuple[str, ...] = ()
    epochs: float = Field(default=1.0, gt=0)
    published: bool | None = None

    @property
    def is_published(self) -> bool:
        """Whether it belongs to those that are to be beaten."""
        return self.recipe == "published" if self.published is None else self.published

    @property
    def folder(self) -> str:
        """Its name, fit for a folder."""
        return re.sub(r"[^\w.+-]+", "-", self.name).strip("-.") or "entrant"

    def made(self, common: Sequence[str], epochs: int, seed: int) -> Recipe:
        """Give its recipe.

        Args:
            common: Settings that all entrants share; its own ones come after them.
            epochs: Of the contest; it takes its share of them, one at least.
            seed: Of initialisation, order and dropout.

        Returns:
            The whole recipe.

        Raises:
            RecipeError: A setting is wrong.
            UsageError: It has another SUV window than the contest's.
        """
        own = max(round(epochs * self.epochs), 1)
        last = (f"training.epochs={own}", f"training.seed={seed}")
        recipe = load_recipe(self.recipe, [*common, *self.settings, *last])
        if recipe.model.suv_window != SUV_WINDOW:
            raise UsageError(
                f"{self.name}: model.suv_window = {list(recipe.model.suv_window)}; a contest "
                f"measures everyone on {list(SUV_WINDOW)}, so that PSNR and SSIM can be compared"
            )
        return recipe


class Contest(BaseModel):
    """Who takes part, and who is compared with whom.

    Attributes:
        entrants: In the order of the tables.
        base: The entrant that the others differ from by a line each; None where there is none.
        references: Entrants to which cost is given as a ratio.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    entrants: tuple[Entrant, ...] = Field(alias="entrant", min_length=1)
    base: str | None = None
    references: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> "Contest":
        names, folders = [e.name for e in self.entrants], {e.folder for e in self.entrants}
        if len(set(names)) < len(names) or len(folders) < len(names):
            raise ValueError("two entrants share a name, or names that differ in signs alone")
        unknown = [name for name in (self.base, *self.references) if name and name not in names]
        if unknown:
            raise ValueError(f"base or references name no entrant: {', '.join(unknown)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The entrants' names, in order."""
        return tuple(entrant.name for entrant in self.entrants)

    def chosen(self, only: str | None) -> tuple[Entrant, ...]:
        """Pick some entrants.

        Args:
            only: Names, separated by semicolons, since a name may hold commas; None for all.

        Returns:
            The entrants, in the contest's order.

        Raises:
            UsageError: One is unknown.
        """
        if only is None:
            return self.entrants
        wanted = {name.strip() for name in only.split(";") if name.strip()}
        if not wanted or wanted - set(self.names):
            said = ", ".join(sorted(wanted - set(self.names))) or "nothing"
            raise UsageError(f"--only {said}: choose from {', '.join(self.names)}")
        return tuple(entrant for entrant in self.entrants if entrant.name in wanted)


def read_contest(path: Path) -> Contest:
    """Read who takes part.

    Args:
        path: A TOML file with `[[entrant]]` tables and perhaps `base` and `references`.

    Returns:
        The contest.

    Raises:
        UsageError: The file is missing, or a folder.
        RecipeError: It is no TOML, or a key is unknown, missing or wrong.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is missing"
        raise UsageError(f"{path} {found}; give a TOML file with [[entrant]] tables")
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows begins with a mark
        return Contest.model_validate(tomllib.loads(text))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text in UTF-8, as TOML is; save it so") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{path}:\n" + "\n".join(_lines(error))) from error


def _lines(error: ValidationError) -> Iterator[str]:
    for one in error.errors():
        yield f"  {'.'.join(map(str, one['loc'])) or 'contest'}: {one['msg']}"
