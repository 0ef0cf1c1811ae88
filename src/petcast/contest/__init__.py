"""A contest: recipes against each other on the same pairs and seeds, with quality beside cost.

The runs of a contest stand in OUT/<pairs>/<entrant>/<seed>, each a run as `petcast train` makes it,
and are measured by `petcast evaluate`: its numbers are the ones that a user gets.
"""
