"""XML from strangers: no document type, so no entities; bounded in size and depth."""

from xml.etree.ElementTree import Element, TreeBuilder  # builds, never parses
from xml.parsers import expat

from petcast.errors import FormatError

MAX_DEPTH = 32
"""Deeper nesting than this has no use in anything petcast reads."""


def parse_xml(content: bytes, what: str, max_bytes: int) -> Element:
    """Parse a small XML document that may be hostile.

    A document type declaration is refused as a whole: entities, and with them expansion bombs
    and references to files, can only be declared there.

    Args:
        content: The document.
        what: What it is, for the message; never an identity.
        max_bytes: The largest size that is accepted, in bytes.

    Returns:
        The root element. Namespaces stay in the tags as they are written.

    Raises:
        FormatError: It is too large, too deep, not XML, or declares a document type.

    Example:
        >>> parse_xml(b"<a><b>1</b></a>", "an example", 100).findtext("b")
        '1'
    """
    if len(content) > max_bytes:
        raise FormatError(f"{what} has {len(content):,} bytes, expected at most {max_bytes:,}")
    builder = TreeBuilder()
    try:
        _parser(builder, what).Parse(content, True)
    except expat.ExpatError as error:
        raise FormatError(f"{what} is not XML: {expat.ErrorString(error.code)}") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise FormatError(f"{what} is not XML in a known encoding") from error
    return builder.close()


def _parser(builder: TreeBuilder, what: str) -> expat.XMLParserType:
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise FormatError(f"{what} nests more than {MAX_DEPTH} elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_declaration: object) -> None:
        raise FormatError(f"{what} declares a document type; that is refused, entities lurk there")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    return parser
