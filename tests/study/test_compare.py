"""The protocol's worth, by hand."""

from petcast.study.compare import worth_of


def test_the_worth_tells_picking_and_slices_from_the_rest() -> None:
    worth = worth_of(
        {"a": 33.0, "b": 34.0, "only here": 50.0}, {"a": 30.0, "b": 32.0},
        {"a": 32.5, "b": 33.0}, (29.0, 28.5),
    )  # fmt: skip
    assert worth is not None
    assert (worth.middle, worth.least, worth.most, worth.generators) == (2.5, 2.0, 3.0, 2)
    assert (worth.picking, worth.slices) == (0.75, 0.5)
    assert worth_of({"a": 1.0}, {}, {}, None) is None
