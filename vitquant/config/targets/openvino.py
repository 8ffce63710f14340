"""OpenVINO on CPUs.

It computes a whole attention in integers, in one kernel, where the operands of the matmuls have
the zero point 0 and one scale for the tensor. It has no 2-bit integers.
"""

from vitquant.config.targets.base import Symmetry, Target

TARGET = Target(
    "openvino",
    "OpenVINO",
    matmuls=Symmetry.SIGNED,
    head_scales=False,
    prefix_scales=False,
    weight_types=("int4", "int8"),
)
