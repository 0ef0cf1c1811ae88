"""Phantom: synthetic PET/CT patients, written as DICOM, with the truth beside them.

They are read by the same `scan` and `prepare` as a hospital's. docs/phantom.md says what is
modelled, and what is not.

    cohort    whole patients on disk, the same bytes for the same seed
    crowd     many patients from few, for measuring how things grow
    streams   random numbers of a seed, a patient and a purpose
    person    who is scanned

    anatomy   one patient's body, and its picture on any grid
    frame     the reference body, and how one patient differs from it
    shapes    distances, painted with soft edges
    tissues   what each looks like in CT and PET
    wall      the table, skin, fat, muscle, breasts, arms
    skeleton  bones
    lungs     parenchyma, vessels, bronchi
    organs    what lies between and below the lungs
    lesions   hot or cold, with or without a sign in CT

    scanner   a noisy CT in one breath, a blurred noisy PET over many
    styles    three ways in which scanners write them
    headers   their DICOM attributes
    series    their files
"""

from petcast.phantom.cohort import LesionTruth, PhantomTruth, read_truth, write_cohort

__all__ = ["LesionTruth", "PhantomTruth", "read_truth", "write_cohort"]
