"""Runtimes are imported in one place each, which leaves their telemetry off."""

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import vitquant
from vitquant.exporters.runtimes.openvino_runtime import OpenVino, import_openvino

# Everything that a command may import, in a process of its own.
IMPORTED = (
    "onnxruntime", "onnx", "torch", "timm", "transformers", "diffusers", "huggingface_hub",
    "vitquant.cli.main", "vitquant.workflows.bench", "vitquant.workflows.synthesize",
)  # fmt: skip


@pytest.mark.slow
def test_importing_writes_nothing_into_the_home_folder(tmp_path):
    code = (
        "import vitquant, time; from importlib import import_module\n"
        f"for name in {IMPORTED}: import_module(name)\n"
        "from vitquant.exporters.runtimes.openvino_runtime import OpenVino, import_openvino\n"
        "OpenVino().installed() and import_openvino()\n"
        "import onnxruntime; onnxruntime.SessionOptions(); time.sleep(1)\n"
    )
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=300)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"])
def test_it_is_off_unless_the_environment_says_otherwise(name):
    code = f"import os, vitquant; print(os.environ[{name!r}])"
    for given, found in (({}, "1"), ({name: "0"}, "0")):
        env = {n: v for n, v in os.environ.items() if n != name} | given
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert run.stdout == f"{found}\n"


@pytest.mark.skipif(not OpenVino().installed(), reason="no OpenVINO")
def test_openvino_does_not_find_its_client():
    import_openvino()
    assert import_module("openvino.tools.ovc.telemetry_utils").tm.__name__.endswith("stub")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nncf") is None, reason="no NNCF")
def test_neither_does_nncf():
    import_openvino("nncf")
    assert not hasattr(import_module("nncf.telemetry.wrapper"), "Telemetry")


def test_nothing_else_imports_openvino():
    importing = re.compile(r'\b(import |from |import_module\(")(openvino|nncf)\b')
    files = Path(vitquant.__file__).parent.rglob("*.py")
    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    assert [name for name, text in texts.items() if importing.search(text)] == []
    # Any other module by its name: this gives its own to the function above.
    by_name = {name for name, text in texts.items() if "import_module(name)" in text}
    assert by_name == {"openvino_runtime.py"}
