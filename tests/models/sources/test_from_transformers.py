"""Models of transformers from folders: what is read, that it computes the same, what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from generators.transformers_families import FAMILIES, PROCESSOR
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import ImageNetInfo
from torch import nn

from vitquant.core.errors import UserError
from vitquant.core.hashing import sha256
from vitquant.models.rewrites.joint_projection import JointProjection
from vitquant.models.sources import from_transformers, load_float
from vitquant.models.transformers_files import quiet

INDEX = "model.safetensors.index.json"


@pytest.fixture
def vit(folders, tmp_path):
    """A folder with a ViT that a test may damage."""
    return shutil.copytree(folders("ViT"), tmp_path / "vit")


def change(folder, file="config.json", **values):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(folder, match, **options):
    with pytest.raises(UserError, match=match) as error:
        load_float(str(folder), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_transformers_does(family, folders):
    folder = folders(family)
    model = load_float(str(folder))
    cls = getattr(transformers, model.identity.architecture)
    with quiet():
        theirs = cls.from_pretrained(folder, config=model.module.config).eval()
    images = torch.randn(2, *model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.adapter.output(theirs(images))
        assert torch.allclose(model(images), expected, atol=1e-5)
        built = model.adapter.rebuild(model.identity.architecture, model.identity.arguments)
        built.load_state_dict(model.module.state_dict())
        assert torch.equal(model.adapter.output(built(images)), model(images))
    assert model.num_classes == (10 if "id2label" in FAMILIES[family][1] else 0)
    assert model.identity.weights_sha256 == sha256(theirs.state_dict())
    assert json.loads(json.dumps(model.identity.to_json())) == model.identity.to_json()


def test_three_projections_become_one(folders):
    model = load_float(str(folders("ViT")))
    joint = [m for m in model.module.modules() if isinstance(m, JointProjection)]
    assert [m.qkv.out_features for m in joint] == [144, 144]
    linears = [n for n, m in model.module.named_modules() if isinstance(m, nn.Linear)]
    assert not any(name.endswith(("k_proj", "v_proj")) for name in linears)


def test_a_part_that_no_logit_depends_on_is_left_out(folders):
    model = load_float(str(folders("SigLIP, classifier")))
    assert not any("head" in name for name, _ in model.module.named_modules())


def test_parts_of_a_projection_may_be_asked_for_in_any_order():
    torch.manual_seed(0)
    linears = [nn.Linear(6, 4), nn.Linear(6, 4, bias=False), nn.Linear(6, 4)]
    joint = JointProjection(linears)
    x, y = torch.randn(3, 6), torch.randn(3, 6)
    with torch.no_grad():
        for index, seen in ((2, x), (0, x), (1, y), (1, x), (1, x)):
            assert torch.allclose(joint.part(index, seen), linears[index](seen), atol=1e-6)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({}, {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bicubic"}),
        (
            {"size": {"height": 40, "width": 40}, "do_center_crop": True, "crop_size": 32,
             "image_processor_type": "DeiTImageProcessor"},
            {"crop_mode": "squash", "crop_pct": 0.8},
        ),
        (
            {"size": {"shortest_edge": 36}, "do_center_crop": True, "crop_size": 32, "resample": 2,
             "image_processor_type": "CLIPImageProcessor"},
            {"crop_mode": "center", "interpolation": "bilinear"},
        ),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
    ],
)  # fmt: skip
def test_images_are_prepared_as_by_the_processor(processor, expected, vit):
    (vit / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | processor))
    model = load_float(str(vit))
    assert expected.items() <= model.preprocessing.items()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((45, 60), Image.Resampling.BICUBIC)
    theirs = transformers.AutoImageProcessor.from_pretrained(vit, backend="pil", use_fast=False)
    wanted = torch.as_tensor(np.stack(theirs(image)["pixel_values"]))[0]
    assert torch.allclose(model.transform()(image), wanted, atol=1e-5)


def test_classes_come_from_id2label(folders, vit):
    classes = load_float(str(folders("ViT"))).classes
    assert classes.names[:2] == classes.ids[:2] == ("kind 0", "kind 1")
    change(vit, id2label={str(i): f"LABEL_{i}" for i in range(10)})
    assert load_float(str(vit)).classes is None


def test_classes_of_imagenet_are_recognized(vit):
    names = [name.partition(",")[0] for name in ImageNetInfo().label_descriptions()]
    state = load_file(vit / "model.safetensors")
    state |= {"classifier.weight": torch.randn(1000, 48), "classifier.bias": torch.zeros(1000)}
    save_file(state, vit / "model.safetensors")
    change(vit, id2label={str(i): name for i, name in enumerate(names)}, label2id={})
    classes = load_float(str(vit)).classes
    assert classes.ids[0] == "n01440764"
    assert classes.names[0] == "tench"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_in_shards(dtype, vit):
    state = {name: t.to(dtype) for name, t in load_file(vit / "model.safetensors").items()}
    names = sorted(state)
    files = {"model-00001-of-00002.safetensors": names[:9],
             "model-00002-of-00002.safetensors": names[9:]}  # fmt: skip
    for file, own in files.items():
        save_file({name: state[name] for name in own}, vit / file)
    (vit / "model.safetensors").unlink()
    places = {name: file for file, own in files.items() for name in own}
    (vit / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    change(vit, dtype=str(dtype).removeprefix("torch."))
    module = load_float(str(vit)).module
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert torch.equal(module.classifier.weight, state["classifier.weight"].float())

    (vit / "model-00002-of-00002.safetensors").unlink()
    refused(vit, r"model-00002-of-00002\.safetensors")


def test_a_config_of_another_kind(vit):
    change(vit, model_type="bert", architectures=["BertForSequenceClassification"])
    refused(vit, r"a model of the type 'bert'; accepted of transformers: vit, deit")
    change(vit, model_type="resnet", architectures=["ResNetForImageClassification"])
    refused(vit, "'resnet'")
    change(vit, model_type="vit", architectures=["ViTForMaskedImageModeling"])
    refused(vit, "is a ViTForMaskedImageModeling; accepted of the type vit: ViTForImage")
    change(vit, architectures=["ViTForImageClassification"], quantization_config={"bits": 4})
    refused(vit, "quantized already")


def test_a_folder_without_its_parts(vit):
    (vit / "preprocessor_config.json").unlink()
    refused(vit, r"no preprocessor_config\.json")
    (vit / "preprocessor_config.json").write_text("{")
    refused(vit, r"no preprocessor_config\.json")
    (vit / "model.safetensors").unlink()
    refused(vit, r"without model\.safetensors")
    (vit / "config.json").write_text("[")
    refused(vit, r"config\.json is not readable JSON")


def test_names_of_another_number_of_classes(vit):
    change(vit, id2label={"0": "cat", "1": "dog"}, label2id={"cat": 0, "dog": 1})
    refused(vit, r"classifier\.\w+ is \(10.*\) in the weights and \(2.*\) by .*id2label")
    change(vit, id2label={"0": "cat", "7": "dog"})
    refused(vit, "keys 0 to 7 for 2 names")


def test_weights_that_lack_a_name(vit):
    state = load_file(vit / "model.safetensors")
    del state["classifier.bias"]
    save_file(state, vit / "model.safetensors")
    refused(vit, r"lack classifier\.bias \(1 names missing\)")


@pytest.mark.parametrize(
    ("processor", "match"),
    [
        ({"size": {"shortest_edge": 32}, "image_processor_type": "CLIPImageProcessor",
          "do_center_crop": False}, "depends on their shape"),
        ({"rescale_factor": 0.5}, "rescale_factor"),
        ({"size": {"height": 24, "width": 24}}, "does not take images of 24x24 pixels"),
    ],
)  # fmt: skip
def test_a_processor_that_does_something_else(processor, match, vit):
    (vit / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | processor))
    refused(vit, match)


def test_no_code_of_a_repository_is_run(vit):
    (vit / "modeling_own.py").write_text("raise SystemExit('run')")
    change(vit, model_type="own", auto_map={"AutoModel": "modeling_own.Own"})
    refused(vit, "a model of the type 'own'")
    change(vit, model_type="vit")
    assert load_float(str(vit)).num_classes == 10


def test_options_and_towers_that_it_does_not_have(vit):
    refused(vit, "--weights: .*leave it out", weights=vit / "model.safetensors")
    refused(f"{vit}#text", "no tower 'text'; '#text' is accepted behind models of the types clip")


@pytest.mark.parametrize("family", ["DINOv2", "DINOv2, registers", "DINOv3", "Swin"])
def test_a_processor_of_another_size_than_the_weights(family, folders, tmp_path):
    folder = shutil.copytree(folders(family), tmp_path / "other")
    change(folder, "preprocessor_config.json", size={"height": 48, "width": 48})
    model = load_float(str(folder))
    with quiet():
        cls = getattr(transformers, model.identity.architecture)
        theirs = cls.from_pretrained(folder).eval()
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model(images), model.adapter.output(theirs(images)), atol=1e-5)
        assert model.tokens.patches in (0, 36)
    built = model.adapter.rebuild(model.identity.architecture, model.identity.arguments)
    built.load_state_dict(model.module.state_dict())


@pytest.mark.parametrize("family", ["ViT", "DeiT", "CLIP, image tower", "SigLIP and SigLIP 2"])
def test_another_input_size_where_it_is_asked_for(family, folders):
    model = from_transformers.load(str(folders(family)), input_size=(48, 48))
    cls = getattr(transformers, model.identity.architecture)
    with quiet():
        theirs = cls.from_pretrained(folders(family)).eval()
    images = torch.randn(2, *model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.adapter.output(theirs(images, interpolate_pos_encoding=True))
        assert torch.allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "size", "match"),
    [
        ("BEiT", (48, 48), "48x48 pixels"),
        ("ViT", (48, 40), "48x40 pixels"),
        ("ViT", (50, 50), "50 does not suit .*; multiples of 8 are accepted"),
    ],
)
def test_an_input_size_that_it_cannot_take(family, size, match, folders):
    with pytest.raises(UserError, match=f"--input-size: .*{match}"):
        from_transformers.load(str(folders(family)), input_size=size)
