"""From a quantized model to an ONNX model that runs on integer kernels."""
