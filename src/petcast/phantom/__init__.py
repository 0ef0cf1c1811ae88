"""Phantom: synthetic PET/CT patients, written as DICOM, with the truth beside them.

They are read by the same `scan` and `prepare` as a hospital's. docs/phantom.md says what is
modelled, and what is not.
"""

from petcast.phantom.cohort import LesionTruth, PhantomTruth, read_truth, write_cohort

__all__ = ["LesionTruth", "PhantomTruth", "read_truth", "write_cohort"]
