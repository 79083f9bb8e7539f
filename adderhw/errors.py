"""The exceptions that bad input raises: one line that says what, where, what was found and what was expected."""


class AdderHwError(Exception):
    """Bad input or a bad call; command lines print it as one line and exit with code 2."""


class ModelError(AdderHwError):
    """A model file or graph that breaks the contract of docs/numerics.md or docs/formats."""


class DataError(AdderHwError):
    """A data set or array that is missing, unreadable, or of the wrong shape, dtype or range."""


class CostError(AdderHwError):
    """An op without a count, an event without a price, or an energy table that is not well formed."""


class RunError(Exception):
    """The run failed though the input was right; command lines print it as one line and exit with code 1."""


class WriteError(RunError):
    """An output could not be written whole: the disk is full, or its folder changed while the run worked."""


class ClusterError(RunError):
    """A cluster was lost while it worked."""


class ProcessesError(RunError):
    """Processes of this machine died again and again."""
