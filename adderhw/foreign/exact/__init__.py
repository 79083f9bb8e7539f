"""Which quantised networks of other tools are determined to the bit, and their integers."""

from adderhw.foreign.exact.network import ExactNetwork, checked_tensors, exact_network, inputs_of

__all__ = ["ExactNetwork", "checked_tensors", "exact_network", "inputs_of"]
