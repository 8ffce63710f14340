"""A module that no library knows, from quantizing it to a verified ONNX file."""

import pytest
import timm
import torch
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

import vitquant
from vitquant.cli.main import main
from vitquant.data.sources.digits import digits

PICTURES = [image.resize((40, 36)) for image, _ in digits("test")[:8]]
BRIEF = {"rtn": {}, "repq": {}, "dfq": {}, "joint": {"steps": 2, "batch_size": 4},
         "block": {"steps": 1, "batch_size": 4}}  # fmt: skip
SIZE = {"input_size": (3, 32, 32), "crop_pct": 1.0}


class Segmenter(nn.Module):
    """A small ViT and a decoder of its patches; returns a dictionary."""

    def __init__(self, channels=3):
        super().__init__()
        self.backbone = timm.create_model(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=2,
            num_classes=0, in_chans=channels,
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(48, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1)
        )

    def forward(self, images):
        tokens = self.backbone.forward_features(images)[:, 1:]
        features = tokens.mT.unflatten(2, (4, 4))
        return {"map": self.decoder(features), "features": features}


def to_tensor(image):
    return pil_to_tensor(image.resize((32, 32))) / 127.5 - 1


def pick(returned):
    return returned["map"]


@pytest.fixture(scope="module")
def segmenter():
    """With weights that are nowhere special."""
    torch.manual_seed(0)
    module = Segmenter().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def quantize(module, method="rtn", bits="w8a8", **keywords):
    common = {"transform": to_tensor, "build": Segmenter, "keep_float": "decoder"}
    brief = {"samples": 8, "init_images": 4} | BRIEF[method]
    keywords = {"calib": PICTURES, "method": method} | brief | common | keywords
    return vitquant.quantize(module, bits, **keywords)


@pytest.mark.parametrize("method", BRIEF)
def test_every_method_and_back_from_the_file(method, segmenter, tmp_path):
    before = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}
    quantized = quantize(segmenter, method, output=pick)
    assert quantized.fidelity.agreement is None
    assert quantized.fidelity.cosine > 0.999
    assert set(quantized.header.unreached) == {"decoder.0", "decoder.3"}
    assert all(torch.equal(before[name], t) for name, t in segmenter.state_dict().items())
    # What is kept has the float weights, but for the precision of the file.
    for name, tensor in segmenter.decoder.state_dict().items():
        found = quantized.module.decoder.state_dict()[name]
        assert torch.equal(found, tensor.half() if tensor.is_floating_point() else tensor)
    path = tmp_path / "segmenter.safetensors"
    quantized.save(path)
    loaded, images = vitquant.load(path, build=Segmenter), torch.randn(2, 3, 32, 32)
    for name, tensor in quantized.module(images).items():
        assert torch.equal(loaded(images)[name], tensor)


def test_without_build_it_lives_in_this_process(segmenter, tmp_path):
    quantized = quantize(segmenter, build=None)
    assert quantized.module(torch.zeros(1, 3, 32, 32))["map"].shape == (1, 1, 8, 8)
    with pytest.raises(vitquant.UserError, match=r"^build: nothing builds this network again"):
        quantized.save(tmp_path / "segmenter.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("transform", [to_tensor, "described"])
def test_other_channels(channels, transform):
    module = Segmenter(channels)
    pictures = [p.convert({1: "L", 4: "RGBA"}[channels]) for p in PICTURES[:4]]
    described = SIZE | {"input_size": (channels, 32, 32)}
    quantized = vitquant.quantize(
        module, "w8a8", pictures, method="joint", steps=1, batch_size=2, samples=4, init_images=2,
        allow_float=True, transform=described if transform == "described" else transform,
    )  # fmt: skip
    assert quantized.fidelity.cosine > 0.99


def test_a_gray_model_of_timm(tmp_path):
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1, in_chans=1, num_classes=10
    )
    quantized = vitquant.quantize(module, "w8a8", PICTURES, method="rtn", samples=4)
    assert quantized.model.input_size == (1, 32, 32)
    with pytest.raises(vitquant.UserError, match=r"^calib: inversion makes RGB images"):
        vitquant.quantize(module, "w8a8", "inversion", method="rtn", samples=4)
    quantized.save(tmp_path / "gray.safetensors")
    assert vitquant.load(tmp_path / "gray.safetensors").pretrained_cfg["mean"] == (0.5,)
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, in_chans=4)
    with pytest.raises(vitquant.UserError, match=r"^model: VisionTransformer takes .* 4 channels"):
        vitquant.quantize(module, "w8a8", PICTURES, method="rtn", samples=4)


def test_a_detectors_backbone_returns_several_maps(tmp_path):
    def build():
        return timm.create_model(
            "swin_tiny_patch4_window7_224", features_only=True, img_size=32, patch_size=2,
            window_size=4, depths=(2, 2), embed_dim=24, num_heads=(2, 4), out_indices=(0, 1),
        )  # fmt: skip

    module = build()
    quantized = vitquant.quantize(
        module, "w8a8", PICTURES, method="rtn", samples=8, transform=SIZE, build=build
    )
    assert len(quantized.header.layers) > 16
    assert quantized.fidelity.cosine > 0.999
    images = torch.randn(2, 3, 32, 32)
    maps = quantized.module(images)
    assert [tuple(found.shape) for found in maps] == [(2, 16, 16, 24), (2, 8, 8, 48)]
    joined = quantized.model(images)
    assert torch.equal(joined, torch.cat([found.flatten(1) for found in maps], 1))
    quantized.save(tmp_path / "backbone.safetensors")
    loaded = vitquant.load(tmp_path / "backbone.safetensors", build=build)
    assert all(torch.equal(a, b) for a, b in zip(loaded(images), maps, strict=True))


def test_arguments_that_do_not_go_together(segmenter):
    for keywords, words in (
        ({"transform": None}, "^transform: it is missing"),
        ({"keep_float": None}, r"^--allow-float: ConvTranspose2d \(decoder.0\)"),
        ({"arguments": {}}, "^arguments: timm builds"),
    ):
        with pytest.raises(vitquant.UserError, match=words):
            quantize(segmenter, **keywords)
    with pytest.raises(vitquant.UserError, match=r"^transform: it goes with a module"):
        vitquant.quantize("vit_digits", "w8a8", PICTURES, method="rtn", transform=to_tensor)
    with pytest.raises(vitquant.UserError, match=r"^calib: synthetic makes RGB images"):
        quantize(segmenter, calib=None)


@pytest.fixture(scope="module")
def saved(segmenter, tmp_path_factory):
    path = tmp_path_factory.mktemp("module") / "segmenter.safetensors"
    quantize(segmenter, output=pick).save(path)
    return path


def test_functions_that_a_file_needs(saved, tmp_path):
    functions = {"build": Segmenter, "transform": to_tensor, "output": pick}
    for name in functions:
        others = {key: value for key, value in functions.items() if key != name}
        with pytest.raises(vitquant.UserError, match=name):
            vitquant.export(saved, tmp_path / "x.onnx", **others)
    with pytest.raises(vitquant.UserError, match=r"^build: it gives another network"):
        vitquant.load(saved, build=lambda: Segmenter(1))
    for settings in ({"format": "safetensors"}, {"push_to_hub": "me/mine"}):
        with pytest.raises(vitquant.UserError, match="of a module in Python"):
            vitquant.export(saved, tmp_path / "x", **functions, **settings)
    with pytest.raises(vitquant.UserError, match=r"^MODEL: Segmenter has no classifier"):
        vitquant.evaluate(saved, "digits", **functions)
    assert not list(tmp_path.iterdir())


def test_functions_that_a_file_does_not_need(segmenter, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    quantize(segmenter, transform=SIZE).save(path)
    with pytest.raises(vitquant.UserError, match=r"^transform: .* holds its own"):
        vitquant.export(path, tmp_path / "x.onnx", build=Segmenter, transform=to_tensor)
    vitquant.quantize("vit_digits", "w8a8", PICTURES, method="rtn").save(path)
    with pytest.raises(vitquant.UserError, match=r"^build: .* is of no module"):
        vitquant.load(path, build=Segmenter)


def test_the_command_line_sends_to_python(saved, capsys):
    for command in (["eval", str(saved), "--data", "digits"], ["export", str(saved)]):
        assert main(command) == 2
        said = capsys.readouterr().err.strip()
        assert "is of Segmenter, a module in Python" in said
        assert "\n" not in said
        assert "build=" in said
    assert main(["inspect", str(saved)]) == 0
    shown = capsys.readouterr().out
    assert "made by: vitquant.quantize(Segmenter(), bits='w8a8'" in shown
    assert "keep_float='decoder', transform=..., build=...)" in shown
    assert main(["inspect", str(saved), "--json"]) == 0


@pytest.mark.slow
def test_onnx_computes_the_same_on_integer_kernels(segmenter, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    quantized = quantize(segmenter, output=pick)
    done = vitquant.export(quantized, tmp_path / "segmenter.onnx", images=4)
    about = done.to_json()
    # The patch embedding, four Linears in each of two blocks, and two matmuls.
    assert about["integer_kernels"] == about["expected_integer_kernels"] == 1 + 2 * 6
    images = torch.stack([to_tensor(image) for image in PICTURES[:2]])
    session = onnxruntime.InferenceSession(tmp_path / "segmenter.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    wanted = quantized.module(images)["map"]
    assert (torch.from_numpy(found) - wanted).abs().max() < 0.05 * wanted.std()

    described = quantize(segmenter, output=pick, transform=SIZE)
    vitquant.export(described, tmp_path / "raw.onnx", images=4, with_preprocessing=True)
    with pytest.raises(vitquant.UserError, match=r"^--with-preprocessing: the transform is a fun"):
        vitquant.export(quantized, tmp_path / "x.onnx", images=4, with_preprocessing=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_what_is_kept_float_is_float_in_onnx(target, tmp_path):
    pytest.importorskip("onnxruntime")
    kept = ["blocks.0.attn.products", "blocks.1", "head"]
    quantized = vitquant.quantize(
        "vit_digits", "w8a8", PICTURES, method="rtn", keep_float=kept, target=target
    )
    done = vitquant.export(quantized, tmp_path / "vit.onnx", images=4)
    kernels = done.verification.expected
    assert len(kernels) == 1 + 4 + 2 * 6
    assert not [name for name in kernels if name.startswith(("head", "blocks.1."))]
    assert done.verification.agreement == 1
    folder = vitquant.export(quantized, tmp_path / "folder", format="safetensors")
    assert folder.bytes


@pytest.mark.slow
def test_a_classifier_is_scored(tmp_path):
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 24), nn.ReLU(), nn.Linear(24, 10))

    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    quantized = vitquant.quantize(
        build(), "w8a8", PICTURES, method="rtn", transform=to_tensor, build=build, classes=names
    )
    assert quantized.fidelity.agreement == 1
    path, out = tmp_path / "digits.safetensors", tmp_path / "digits.onnx"
    quantized.save(path)
    scores = vitquant.evaluate(path, "digits", build=build, transform=to_tensor).found.accuracy
    vitquant.export(path, out, build=build, transform=to_tensor, images=4)
    exported = vitquant.evaluate(out, "digits", transform=to_tensor).found.accuracy
    assert exported.top1 == pytest.approx(scores.top1, abs=0.01)
    with pytest.raises(vitquant.UserError, match=r"^transform: images go through a function"):
        vitquant.evaluate(out, "digits")
    with pytest.raises(vitquant.UserError, match=r"^--reference: the float .* module in Python"):
        vitquant.evaluate(path, "digits", build=build, transform=to_tensor, reference="float")


class Encoder(nn.Module):
    """Patches through torch's own encoder layers."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, stride=8)
        layer = nn.TransformerEncoderLayer(48, 2, 96, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, images):
        return self.layers(self.patches(images).flatten(2).mT)


def test_attention_of_torchs_own_is_quantized_too(tmp_path):
    torch.manual_seed(0)
    module = Encoder().eval()
    quantized = quantize(module, build=Encoder, keep_float=None)
    names = [layer.name for layer in quantized.header.layers]
    assert "layers.layers.1.self_attn.qkv" in names
    assert [product.count for product in quantized.header.products] == [2, 2]
    assert quantized.header.unreached == {}
    images = torch.stack([to_tensor(picture) for picture in PICTURES[:2]])
    assert torch.nn.functional.cosine_similarity(
        quantized.module(images).flatten(1), module(images).flatten(1)
    ).min() > 0.99  # fmt: skip
    path = tmp_path / "encoder.safetensors"
    quantized.save(path)
    assert torch.equal(vitquant.load(path, build=Encoder)(images), quantized.module(images))
