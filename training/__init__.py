"""Training of adder networks: kernels, layers, networks, and progressive kernel-based knowledge distillation."""

import adderhw as adderhw  # first, for it watches over the imports of a command
