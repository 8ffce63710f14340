"""TensorRT on NVIDIA's GPUs: explicit int8 quantization around 0, and float16 in between."""

from vitquant.config.targets.base import Symmetry, Target

TARGET = Target(
    "tensorrt",
    "TensorRT",
    inputs=Symmetry.ALL,
    matmuls=Symmetry.ALL,
    head_scales=False,
    prefix_scales=False,
    weight_types=("int8",),
    highest_opset=22,
    int32_bias=False,
    rest="float16",
)
