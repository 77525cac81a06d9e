"""The ground floor: decisions and data, and nothing that waits.

Nothing in here awaits, reads a clock, logs, opens a file or imports Trio. Time comes in as ``now: float`` (seconds on
any monotonic clock), randomness as ``rng: random.Random``. So everything in here is tested in milliseconds, and a
function that has returned has done all that it does.
"""
