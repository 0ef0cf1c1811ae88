"""Hospital DICOM in: files to series to studies, slices to volumes, Bq/mL to SUV.

The way of the data: `unpack` opens folders and zips, `header` reads one file's header, `stack`
lays slices on each other, `check` judges a series, `pairing` chooses CT and PET of a study, and
`scan` does all of that for folders. `read` then turns a series into voxels; `scale`, `decay` and
`bodysize` hold the rules from stored values to SUV, and `suv` measures it.
"""
