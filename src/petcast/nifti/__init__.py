"""NIfTI cohorts in: files by name → cases, headers that nobody vouches for, units made sure.

layout.py     which files make a case, and whose it is
header.py     what a file declares, and whether it holds that: sizes, types, places, bombs
case.py       a case → CT in HU, PET in SUV, lesions
"""
