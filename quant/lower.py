"""The table of the lowering: what each op of a float graph becomes. Functions take the Lowering and the FloatNode."""

from collections.abc import Callable, Mapping

from quant.lower_adders import lower_adder_conv, lower_adder_gemm
from quant.lower_elementwise import lower_add, lower_batch_norm, lower_clip, lower_relu
from quant.lower_pools import lower_average_pool, lower_global_average_pool, lower_max_pool, lower_reduce_mean
from quant.lower_products import lower_conv, lower_gemm, lower_matmul
from quant.lower_shapes import lower_reshape

LOWER: Mapping[str, Callable] = {
    "Conv": lower_conv,
    "AdderConv": lower_adder_conv,
    "AdderGemm": lower_adder_gemm,
    "Gemm": lower_gemm,
    "MatMul": lower_matmul,
    "BatchNormalization": lower_batch_norm,
    "Relu": lower_relu,
    "Clip": lower_clip,
    "MaxPool": lower_max_pool,
    "AveragePool": lower_average_pool,
    "GlobalAveragePool": lower_global_average_pool,
    "ReduceMean": lower_reduce_mean,
    "Add": lower_add,
    "Flatten": lower_reshape,
    "Reshape": lower_reshape,
}
