"""Rows of docs/results/browser.csv: pages of ``export --format web`` in headless Chromium.

    python tests/benchmarks/browser.py CHECKPOINT FOLDER --data imagenet/val --limit 969

Agreement is with the checkpoint's top-1 prediction in PyTorch, of the page and of the ONNX file in
native ONNX Runtime, on the same files; top-1 is by the names of their folders. Memory is the WASM
heap after the last image, which never shrinks. It needs playwright from PyPI and Chromium.
"""

import argparse
import base64
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rows import ROOT, append, provenance

from vitquant.checkpoint.read import read_checkpoint, restore

OUT = ROOT / "docs" / "results" / "browser.csv"
# Keeps every memory that a page makes, so that its size can be asked.
KEEP_MEMORIES = """
window.memories = [];
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, args) {
    const memory = new target(...args);
    window.memories.push(memory);
    return memory;
  },
});
"""
HEAP = "window.memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0)"
CLASSIFY = """async (data) => {
  const { classify } = await import("./app.js");
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const { logits, milliseconds } = await classify(new File([bytes], "image.jpg"));
  return [logits.indexOf(Math.max(...logits)), milliseconds];
}"""


def main() -> None:
    options = _parse()
    where = provenance()
    checkpoint = read_checkpoint(options.checkpoint)
    files = _images(options.data, options.limit)
    model = restore(checkpoint)
    expected = _in_torch(model, files)
    labels = [model.classes.match(file.parent.name) if model.classes else None for file in files]
    native, native_ms = _natively(options.folder / "model.onnx", files)
    with _page(options.folder, options.chromium) as (page, version):
        start = time.perf_counter()
        page.evaluate("import('./app.js').then(({ ready }) => ready)")
        started = time.perf_counter() - start
        heap_before = page.evaluate(HEAP)
        found = [page.evaluate(CLASSIFY, base64.b64encode(f.read_bytes()).decode()) for f in files]
        heap = page.evaluate(HEAP)
    in_page = [index for index, _ in found]
    row = {
        "model": checkpoint.header.model["name"],
        "bits": checkpoint.header.bits,
        "images": len(files),
        "agreement_page": f"{_agreement(in_page, expected):.3f}",
        "agreement_native": f"{_agreement(native, expected):.3f}",
        "top1_page": f"{_agreement(in_page, labels):.3f}",
        "top1_native": f"{_agreement(native, labels):.3f}",
        "top1_checkpoint": f"{_agreement(expected, labels):.3f}",
        "onnx_mb": f"{(options.folder / 'model.onnx').stat().st_size / 1e6:.2f}",
        "page_ms": f"{median(ms for _, ms in found):.0f}",
        "native_ms": f"{median(native_ms):.0f}",
        "start_s": f"{started:.1f}",
        "heap_ready_mb": f"{heap_before / 1e6:.0f}",
        "heap_mb": f"{heap / 1e6:.0f}",
        "browser": f"Chromium {version}",
    }
    append(OUT, row | where)
    print(row)


@contextmanager
def _page(folder: Path, chromium: str) -> Iterator[tuple[Page, str]]:
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(0)
            page.add_init_script(KEEP_MEMORIES)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            yield page, browser.version
            browser.close()
    finally:
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def _images(folder: Path, limit: int) -> list[Path]:
    """Evenly spread over the sorted files, so that classes differ."""
    found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in (".jpeg", ".jpg", ".png"))
    return [found[i * len(found) // limit] for i in range(min(limit, len(found)))]


def _in_torch(model: Any, files: list[Path]) -> list[int]:
    transform = model.transform()
    with torch.inference_mode():
        return [int(model(transform(Image.open(f).convert("RGB"))[None]).argmax()) for f in files]


def _natively(file: Path, files: list[Path]) -> tuple[list[int], list[float]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name, found, times = session.get_inputs()[0].name, [], []
    for image in files:
        pixels = np.asarray(Image.open(image).convert("RGB"))[None]
        start = time.perf_counter()
        found.append(int(session.run(None, {name: pixels})[0].argmax()))
        times.append(1000 * (time.perf_counter() - start))
    return found, times


def _agreement(found: list[int], expected: Sequence[int | None]) -> float:
    return sum(a == b for a, b in zip(found, expected, strict=True)) / len(expected)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
