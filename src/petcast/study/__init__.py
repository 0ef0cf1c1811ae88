"""The study: many generators on the same pairs, as the paper is read and as it should be.

study      one recipe, thirteen generators, two protocols, one folder
protocol   how the pairs are divided, and which epoch speaks for a generator
course     one generator under one protocol: train, evaluate, keep
outcome    what a run came to, from its files
trivial    the rows that no generator made
scores     what tables and figures are made of
results    all of them, in their folder

paper      the paper's own numbers
makeup     Tables 1 to 3
table4     Table 4, and the same inside the body
figures    Figures 2 to 4
pictures   Figure 5
contests   generators against each other, protocols against each other
compare    what the published protocol alone is worth
tables     what a table is
"""

from petcast.study.course import keep_of
from petcast.study.study import Study, choose, run_study, write_tables

__all__ = ["Study", "choose", "keep_of", "run_study", "write_tables"]
