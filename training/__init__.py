"""Training of adder networks: kernels, layers, networks, and progressive kernel-based knowledge distillation."""
