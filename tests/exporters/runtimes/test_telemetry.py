"""Runtimes are imported in one place each, which leaves their telemetry off."""

import os
import re
from importlib import import_module
from pathlib import Path

import pytest

import vitquant
from vitquant.exporters.runtimes.openvino_runtime import OpenVino, import_openvino
from vitquant.exporters.runtimes.ort_runtime import import_onnxruntime


def test_onnxruntime_is_asked_not_to_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


@pytest.mark.skipif(not OpenVino().installed(), reason="no OpenVINO")
def test_openvino_does_not_find_its_client():
    import_openvino()
    assert import_module("openvino.tools.ovc.telemetry_utils").tm.__name__.endswith("stub")


def test_nothing_else_imports_them():
    importing = re.compile(r'\b(import |from |import_module\(")(onnxruntime|openvino)\b')
    files = Path(vitquant.__file__).parent.rglob("*.py")
    found = {file.name for file in files if importing.search(file.read_text(encoding="utf-8"))}
    assert found == {"openvino_runtime.py", "ort_runtime.py"}
