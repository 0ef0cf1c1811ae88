"""`petcast prepare`: usable studies → aligned slice pairs, divided by patient.

course   the command: all studies, then the index
study    one study: read, aligned and written, or reused
cohort   the studies of some folders, DICOM or NIfTI, to be read one by one
tumours  published boxes, brought to the studies that are prepared
"""

from petcast.prepare.course import SCRATCH_FOLDER, prepare
from petcast.prepare.study import LOCKS_FOLDER

__all__ = ["LOCKS_FOLDER", "SCRATCH_FOLDER", "prepare"]
