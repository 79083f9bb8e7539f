"""Runs the toolkit on every ONNX file below folders of other projects, and says what it took and what it got wrong."""
