"""Runtimes are imported in one place each, which leaves their telemetry off."""

import os
import re
from importlib import import_module
from importlib.util import find_spec
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


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nncf") is None, reason="no NNCF")
def test_neither_does_nncf():
    import_openvino("nncf")
    assert not hasattr(import_module("nncf.telemetry.wrapper"), "Telemetry")


def test_nothing_else_imports_them():
    importing = re.compile(r'\b(import |from |import_module\(")(onnxruntime|openvino|nncf)\b')
    files = Path(vitquant.__file__).parent.rglob("*.py")
    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    assert [name for name, text in texts.items() if importing.search(text)] == []
    # Any other module by its name: these two give theirs to the functions above.
    by_name = {name for name, text in texts.items() if "import_module(name)" in text}
    assert by_name == {"openvino_runtime.py", "ort_runtime.py"}
