"""What tells two runs apart."""

import json

from vitquant.data.image_source import ListSource
from vitquant.quantization.training.state import run_fingerprint


def test_a_run_is_its_model_images_and_settings(make_small, images, settings):
    model = make_small("vit")
    run = run_fingerprint(model, images, settings("w4a4", "joint"))
    assert run == run_fingerprint(make_small("vit"), images, settings("W4A4", "joint"))
    assert json.loads(json.dumps(run)) == run
    assert (run["--bits"], run["--lr-weights"], run["--method"]) == ("w4a4", 3e-3, "joint")
    turned = ListSource("pictures", [images.image(i).rotate(180) for i in range(4)])
    fewer = ListSource("pictures", [images.image(i) for i in range(3)])
    for other in (turned, fewer):
        found = run_fingerprint(model, other, settings("w4a4", "joint"))
        assert {name for name in run if run[name] != found[name]} == {"--calib"}
    found = run_fingerprint(model, images, settings("w4a4", "joint", hflip=0.0))
    assert {name for name in run if run[name] != found[name]} == {"--hflip"}
    found = run_fingerprint(model, images, settings("w4a4", "joint", layer_bits="head=w8a8"))
    assert {name for name in run if run[name] != found[name]} == {"--layer-bits"}
