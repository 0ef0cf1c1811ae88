"""A CT and a trained model in, a synthetic PET in SUV out, on the CT's own geometry.

It is written as NIfTI, or as the DICOM that the CT came as: a series in the CT's own study.

    cast     `petcast predict`: a whole CT
    slices   on the model grid: what the model makes of them, stage by stage
    files    where the CT comes from, and where the PET goes
"""

from petcast.predict.cast import Prediction, cast_on_grid, predict, predict_volume
from petcast.predict.files import (
    casting_of,
    is_nifti,
    load_any_ct,
    require_apart,
    require_output,
    write_volume,
)
from petcast.predict.slices import (
    BATCH_SIZE,
    finite,
    first_stages,
    hu_batches,
    predict_slices,
)

__all__ = [
    "BATCH_SIZE", "Prediction", "cast_on_grid", "casting_of", "finite", "first_stages",
    "hu_batches", "is_nifti", "load_any_ct", "predict", "predict_slices", "predict_volume",
    "require_apart", "require_output", "write_volume",
]  # fmt: skip
