"""The load generator: picows on uvloop, one process per measurement (`python -m bench.client JOB`).

It counts, checks and times; it draws no conclusions. Lengths of all messages and the bytes of sampled ones
are compared with what the replica must have sent, and totals with what it says it sent, so no router gets a
good number for losing data. CPU time of the router is read in the same moment as the counters, hence the
exact window.
"""
