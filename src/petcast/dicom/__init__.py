"""Hospital DICOM in, and a cast PET out: files to series to studies, Bq/mL to SUV, SUV to a series.

From folders to studies, by headers alone:

    scan        folders → files → series → studies, and why each refusal
    unpack      zips as if they were folders
    header      one file: what it is, and whether it can be used at all
    encoding    how it encodes its data set, checked before anything is decoded
    tags        values out of a header that nobody has checked
    moments     dates and times
    facts       what a header says about its images
    multiframe  frames of an enhanced file, told as single-frame slices
    petheader   what it says about the PET, the patient and the injection
    tracer      which tracer that is
    persons     who is one person
    privacy     keyed hashes in the place of identities
    ledger      all headers, on disk until their series is complete
    files       their paths, packed
    series      what a scan found
    stack       slices laid on each other by their positions
    check       one series judged
    kernel      whether its reconstruction kernel is soft or sharp
    pairing     one CT and one PET of each study

From a series to voxels and SUV:

    read        a series → HU, Bq/mL, SUV
    pixels      pixels of one file, as stored
    codec       compressed ones, decoded in a process of their own
    scale       stored values → SUV, each rule with its clause
    decay       to which moment values are corrected, how long after the injection
    bodysize    weight, height, and the masses that formulas make of them
    suv         `petcast suv`

From a cast PET to a series:

    write       SUV → a derived series on the CT's slices
    derived     its header
    source      what the CT passes on to it
    compose     pieces of any DICOM file that petcast writes
"""
