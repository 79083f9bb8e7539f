"""Each kernel against the oracles of tests/naive.py, on every path this machine has."""
