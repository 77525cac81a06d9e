"""Benchmarks of trio_router beside other proxies, on loopback, in one run.

`python -m bench run` starts a fast replica, every router under test and a load generator, runs the
scenarios interleaved, and writes one JSON with every raw figure, a Markdown report and plots.

The layout:

    proc       what /proc says of other processes: CPU time, memory, children
    launch     starting processes, waiting until they answer, tearing them down
    wire       what replica and load generator agree on: messages, payloads, jobs
    replica    the fast replica (own process); `modes` is what its sessions do
    client     the load generator (own process, one per measurement)
    peers      the routers under test, one small module each
    routers    those of them that were written for the comparison
    certificate   TLS: the certificate for all, and what makes the rows fair
    scenarios  what is run, and which figures come out of it
    run        the order of measurements
    stats, targets, report, plots, compare, against   what is made of the samples

Nothing in here is imported by the package `trio_router`.
"""
