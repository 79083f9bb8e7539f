"""Every op of the integer graph, in one literal tuple: adding an op is its file, a line here, its oracle, its test."""

from adderhw.ops.add import Add
from adderhw.ops.adder_conv import AdderConvInteger
from adderhw.ops.adder_gemm import AdderGemmInteger
from adderhw.ops.channels import Concat, Gather
from adderhw.ops.conv_integer import ConvInteger
from adderhw.ops.edges import DequantizeLinear, QuantizeLinear
from adderhw.ops.matmul_integer import MatMulInteger
from adderhw.ops.pooling import MaxPoolInteger, SumPool
from adderhw.ops.requantize import Requantize
from adderhw.ops.reshape import Flatten, Reshape

OPS = (
    AdderConvInteger(),
    AdderGemmInteger(),
    ConvInteger(),
    MatMulInteger(),
    Requantize(),
    Add(),
    MaxPoolInteger(),
    SumPool(),
    Flatten(),
    Reshape(),
    Concat(),
    Gather(),
    QuantizeLinear(),
    DequantizeLinear(),
)
BY_NAME = {op.name: op for op in OPS}
