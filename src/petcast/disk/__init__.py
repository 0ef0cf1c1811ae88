"""What lies on disk, written so that nothing is lost and read so that nothing runs.

durable  writing that survives kill -9 and a full disk, and locks
names    names that libraries in other languages take
npy      NumPy's files, damaged ones too
stored   the voxels of a NIfTI file, as they are stored
"""
