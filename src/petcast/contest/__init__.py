"""A contest: recipes against each other on the same pairs and seeds, with quality beside cost.

The runs of a contest stand in OUT/<pairs>/<entrant>/<seed>, each a run as `petcast train` makes it,
and are measured by `petcast evaluate`: its numbers are the ones that a user gets. The commands are
`benchmarks/contest.py` and `benchmarks/lesions.py`.

    entrants  who takes part, from a TOML file
    course    trains what is not trained, measures what is not measured, keeps little
    cost      operations, memory and seconds
    thin      fewer slices of some pairs
    scores    means over seeds, and differences paired by seed and pairs
    lesions   lesions whose truth is known
    tables    Markdown for readers, CSV and JSON for machines
    figure    quality against cost
    results   all of it, in the contest's folder
"""
