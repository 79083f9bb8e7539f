"""The yardstick: the int8 CNN twin (QDQ, static quantisation, per channel, random weights) in onnxruntime."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.from_torch import export_module
from training import networks
from training.taps import INPUTS


class _RandomImages(CalibrationDataReader):
    def __init__(self, shape, seed):
        rng = np.random.default_rng(seed)
        self.batches = iter([{"image": rng.normal(0, 1, (2, *shape)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def float_network(model, kind, path, seed=0):
    """Writes a network of python -m training with random weights as ONNX, its input named "image"; returns its shape.

    Batch norms have the statistics of eight random images, as after training, so that values stay in one range.
    """
    classes, shape = INPUTS[model]
    torch.manual_seed(seed)
    network = networks.build(model, kind, classes=classes, in_channels=shape[0])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, *shape))
    export_module(network.eval(), torch.zeros(1, *shape), path)
    return shape


def int8_cnn_session(model, threads, seed=0):
    """An onnxruntime session of the quantised CNN on `threads` threads; input "image": float32 (N, C, H, W)."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises a pre-processing step through logging
    with tempfile.TemporaryDirectory() as folder:
        path, folded, int8 = (Path(folder) / name for name in ("float.onnx", "folded.onnx", "int8.onnx"))
        shape = float_network(model, "cnn", path, seed)
        fold_batch_norms(path, folded)
        quantize_static(
            folded, int8, _RandomImages(shape, seed), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # its threads spin during a run but not after it, when the other side of the pair has the machine
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(int8, options, providers=["CPUExecutionProvider"])


def fold_batch_norms(path, folded):
    """Writes the model with its batch norms inside its convolutions, as quantisation expects it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
