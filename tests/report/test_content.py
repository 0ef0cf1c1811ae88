"""What the page's template reads is what a page's content is declared to hold."""

from jinja2 import Environment, PackageLoader, meta

from petcast.report.content import Content

OF_EVERY_PAGE = {"version", "style", "style_hash", "limits"}
OF_TEMPLATES = {"draw", "left"}
"""What templates set for themselves."""


def read_by(template: str, environment: Environment) -> set[str]:
    """Names that a template, and whatever it includes, takes from outside."""
    source = environment.loader.get_source(environment, template)[0]  # type: ignore[union-attr]
    tree = environment.parse(source)
    names = meta.find_undeclared_variables(tree)
    for other in meta.find_referenced_templates(tree):
        names |= read_by(str(other), environment)
    return names


def test_the_template_and_the_type_name_the_same() -> None:
    environment = Environment(loader=PackageLoader("petcast.report"), autoescape=True)
    environment.filters |= dict.fromkeys(("number", "count", "coded"), str)
    names = read_by("report.html.j2", environment)
    assert names - OF_EVERY_PAGE - OF_TEMPLATES == set(Content.__annotations__)
