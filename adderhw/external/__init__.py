"""Other tools' counts of the same network, so that a tally here can be held against theirs."""
