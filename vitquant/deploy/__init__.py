"""From a quantized model to an ONNX file that runs on integer kernels, and back to a model."""
