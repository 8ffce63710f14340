"""TensorRT on NVIDIA's GPUs: explicit int8 quantization around 0, and float16 in between.

It takes no Cast to int8, so that weights of fewer bits are stored as bytes, no dequantization of
int32, so that biases are float, and no ConvInteger. The sources stand in
``vitquant/exporters/onnx/tensorrt_rules``; opset 24 is the highest of TensorRT 10.15. Levels below
8 bits are kept by a Clip of floats, which is an ordinary layer.
"""

from vitquant.config.targets.base import Symmetry, Target

TARGET = Target(
    "tensorrt",
    "TensorRT",
    inputs=Symmetry.ALL,
    matmuls=Symmetry.ALL,
    head_scales=False,
    prefix_scales=False,
    int16=False,
    weight_types=("int8",),
    highest_opset=24,
    int32_bias=False,
    conv_integer=False,
    rest="float16",
)
