"""How far a synthetic PET may be off, voxel by voxel, in SUV.

spread     ways to tell where a model is unsure; each costs its forward passes
calibrate  split conformal prediction: the factor that makes 90 % intervals of a spread
held       the voxels of many patients, on disk
sparsify   whether the most uncertain voxels are those with the largest error
store      RUN/uncertainty.json
runs       calibrate a run on patients that it was not trained on
casting    a CT in, a PET and the half-width of its interval out
"""

from petcast.uncertainty.casting import predict_either, predict_with_uncertainty
from petcast.uncertainty.runs import calibrate_run, method_of
from petcast.uncertainty.spread import WAYS, Method, Way

__all__ = [
    "WAYS", "Method", "Way",
    "calibrate_run", "method_of", "predict_either", "predict_with_uncertainty",
]  # fmt: skip
