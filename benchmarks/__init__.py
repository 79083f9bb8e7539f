"""What is timed: every figure of the README comes from a script here."""
