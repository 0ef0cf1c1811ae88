"""`petcast prepare`: usable studies → aligned slice pairs, divided by patient.

course   the command: one study after another, then the index
cohort   the studies of some folders, DICOM or NIfTI, to be read one by one
tumours  published boxes, brought to the studies that are prepared
"""

from petcast.prepare.course import LOCKS_FOLDER, SCRATCH_FOLDER, prepare

__all__ = ["LOCKS_FOLDER", "SCRATCH_FOLDER", "prepare"]
