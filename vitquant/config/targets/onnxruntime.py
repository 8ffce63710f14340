"""ONNX Runtime on CPUs: unsigned bytes with any zero point, products as QGemm and QLinearMatMul."""

from vitquant.config.targets.base import Target

TARGET = Target("onnxruntime", "ONNX Runtime", clips_integers=True)
