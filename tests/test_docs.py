"""The documentation names what there is: commands, options, knobs, codes, pages."""

import ast
import json
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from petcast.cli import app
from petcast.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
MANUAL = "\n".join(text for name, text in TEXT.items() if name != "CHANGELOG.md")

NO_CODES = {"MS-SSIM"}
"""Words that look like one."""

ROOMS = sorted(path.parent.name for path in ROOT.glob("src/petcast/*/__init__.py"))
CODE = re.compile(r"[A-Z]{2,}(-[A-Z0-9]+)+")


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
    return named | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", TEXT)
def test_links_lead_somewhere(page: str) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        place = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        known = place.exists() and (
            not anchor or anchor in _anchors(place.read_text(encoding="utf-8"))
        )
        lost += [] if known else [target]
    assert lost == []


def test_readme_leads_to_every_page() -> None:
    pages = {name for name in TEXT if name.startswith("docs/") and "/decisions/" not in name}
    assert pages - set(re.findall(r"\]\(([^)#\s]+)", TEXT["README.md"])) == set()


def test_the_map_of_the_code_names_every_room() -> None:
    rooms = {path.name for path in (ROOT / "src/petcast").iterdir() if path.name[0] not in "_."}
    house = TEXT["CONTRIBUTING.md"].partition("## The house")[2]
    named = set(re.findall(r"(\w+(?:\.py)?)/?\s", house))
    assert rooms - named - {"py.typed"} == set()


def test_every_command_and_option_is_shown() -> None:
    group = typer.main.get_command(app)
    names = {
        f"petcast {name}": [o for p in command.params for o in p.opts if o.startswith("--")]
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    missing = {word for name, options in names.items() for word in (name, *options)
               if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", MANUAL)}  # fmt: skip
    assert missing == set()


def _blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)
    return [block for found, block in fences if found == language]


def test_every_command_shown_exists_with_its_options() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = "\n".join(_blocks("") + _blocks("console")).replace("\\\n", " ").splitlines()
    shown = re.compile(r"(?:^\$?\s*|-m |\d )petcast ([a-z][^#|&]*)")
    calls = [call.split() for line in lines for call in shown.findall(line)]
    assert len(calls) > 50
    wrong = [call for call in calls if call[0] not in commands]
    for name, *words in (call for call in calls if call[0] in commands):
        known = {option for param in commands[name].params for option in param.opts}
        wrong += [[name, word] for word in words if word.startswith("--") and word not in known]
    assert wrong == []


def test_every_import_shown_works() -> None:
    nodes = [node for block in _blocks("python") for node in ast.walk(ast.parse(block))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    shown = [(node.module or "", name.name) for node in froms for name in node.names]
    asked = [row for row in shown if row[0].startswith("petcast")]
    table = re.findall(r"^\| `(petcast[\w.]*)\.(\w+)` \|", TEXT["docs/tutorial.md"], re.MULTILINE)
    assert asked
    assert table
    for module, name in (*asked, *table):
        place = import_module(module)
        assert hasattr(place, name) or find_spec(f"{module}.{name}"), f"{module}.{name}"


def test_every_knob_is_explained() -> None:
    pages = TEXT["docs/train.md"] + TEXT["docs/prepare.md"] + TEXT["docs/models.md"]
    tables = {
        name: field.annotation.model_fields
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    assert len(tables) == len(Recipe.model_fields)
    missing = {
        f"{table}.{knob}"
        for table, knobs in tables.items()
        for knob in knobs
        if not re.search(rf"`(?:{table}\.)?{knob}(?: = [^`]*)?`", pages)
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("room", "pages"),
    [
        ("evaluate", ["evaluate"]),
        ("registration", ["how-to/registration"]),
        ("report", ["report", "study", "evaluate", "how-to/registration"]),
    ],
)
def test_every_code_is_explained(room: str, pages: list[str]) -> None:
    files = (ROOT / "src/petcast" / room).glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    words = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    codes = {word for word in words if CODE.fullmatch(word)} - NO_CODES
    explained = "".join(TEXT[f"docs/{page}.md"] for page in pages)
    assert len(codes) > 2
    assert {code for code in codes if f"`{code}`" not in explained} == set()


def test_every_key_of_pairs_and_their_cards_is_explained(whole_pairs: Path) -> None:
    index = json.loads((whole_pairs / "pairs.json").read_text())
    cards = [json.loads(path.read_text()) for path in whole_pairs.glob("studies/*/card.json")]
    keys = {key for document in (index, *index["studies"], *cards) for key in document}
    assert len(keys) > 20
    assert {key for key in keys if f"`{key}`" not in TEXT["docs/files.md"]} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_lists_its_modules(room: str) -> None:
    folder = ROOT / "src/petcast" / room
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    listed = re.findall(r"^ *(\w+)(?:\.py)? {2,}\S", text, re.MULTILINE)
    assert sorted(listed) == sorted(modules)
