"""The study: many generators on the same pairs, as the paper is read and as it should be."""

from petcast.study.course import keep_of
from petcast.study.study import Study, choose, run_study, write_tables

__all__ = ["Study", "choose", "keep_of", "run_study", "write_tables"]
