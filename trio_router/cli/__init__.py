"""The command line: `serve`, `check`, `demo`; where a configuration comes from, and README's reference of it."""
