"""The page in headless Chromium: pictures are dropped on it."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO

import pytest
import torch
from PIL import Image

import vitquant
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.exporters.web.ort_web import ort_web_files

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
DROP = """([bytes, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name));
  const made = { dataTransfer: data, bubbles: true, cancelable: true };
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", made));
}"""
NO_SIMD = "WebAssembly.validate = () => false"


@pytest.fixture(scope="module")
def quantized_digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    settings = {"bits": "w8a8", "method": "rtn", "calib": "noise", "samples": 8}
    done = vitquant.quantize("vit_digits", **settings)
    try:
        ort_web_files(None, Silent(), "--ort-web")
    except UserError as error:
        pytest.skip(str(error))
    vitquant.export(done, folder / "page", format="web", images=4)
    return done.model, folder / "page"


@pytest.fixture
def open_page(quantized_digits):
    """A function that opens the page, after a script."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(quantized_digits[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opened(script=""):
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.add_init_script(script)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            return page

        yield opened
        browser.close()
    server.shutdown()


def png(image) -> bytes:
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


def test_a_dropped_photograph_is_classified_as_the_checkpoint_does(quantized_digits, open_page):
    model, _ = quantized_digits
    page, asked, errors = open_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("china.jpg", "flower.jpg"):
        file = files("sklearn.datasets") / "images" / name
        with torch.inference_mode(), Image.open(BytesIO(file.read_bytes())) as image:
            expected = int(model(model.transform()(image)[None]).argmax())
        page.evaluate(DROP, [list(file.read_bytes()), name])
        page.wait_for_selector(f"#picture[alt='{name}'] >> visible=true")
        assert page.get_attribute("#results li:first-child", "data-index") == str(expected)
        assert page.locator("#results li").count() == 5
    assert errors == []
    assert all("127.0.0.1" in url for url in asked)


def test_what_is_no_picture_is_said_and_the_page_goes_on(open_page):
    page = open_page()
    page.evaluate(DROP, [list(b"words"), "letter.txt"])
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status").startswith("letter.txt is not a picture")
    picture = png(SmoothNoiseSource(1, (32, 32)).image(0))
    page.evaluate(DROP, [list(picture), "next.png"])
    page.wait_for_selector("#results li")
    assert page.locator("#status.error").count() == 0


def test_a_browser_without_simd_is_told(open_page):
    page = open_page(NO_SIMD)
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status").startswith("This browser has no WebAssembly SIMD")
    assert page.is_disabled("#file")
