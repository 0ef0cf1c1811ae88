"""Work shared by many processes.

pool     processes of this machine, or of any executor
cluster  a Dask cluster as an executor
"""

from petcast.workers.pool import AHEAD, cores, in_chunks, work_through

__all__ = ["AHEAD", "cores", "in_chunks", "work_through"]
