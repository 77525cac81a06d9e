"""The ground floor: decisions and data, and nothing that waits.

Nothing in here awaits, reads a clock, logs, opens a file or imports Trio. Time comes in as ``now: float`` (seconds on
any steady clock), chance as ``rng: random.Random``. So everything in here is tested in milliseconds, and a reader can
trust that a function that returns has done all that it does.
"""
