"""One self-contained page about a trained, evaluated run; it reads files and nothing else."""

from petcast.report.page import write_report

__all__ = ["write_report"]
