"""Export: PyTorch networks and integer graphs as ONNX files."""

import adderhw as adderhw  # first, for it watches over the imports of a command
