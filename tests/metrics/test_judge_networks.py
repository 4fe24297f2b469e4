from __future__ import annotations

import copy
import json

import huggingface_hub.constants
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tiny_models.make import CLIP
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.v2.functional import InterpolationMode, normalize, resize

from braindecode_x.metrics import judge_networks
from braindecode_x.metrics.judge import Judge
from braindecode_x.metrics.judge_networks import NETWORKS, load_network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EFFICIENTNET = "efficientnet_b1-c27df63c.pth"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Empty caches of torch and Hugging Face."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-of-clip"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path


def random_weights(build) -> torch.nn.Module:
    """Build a network with weights that let signals through, without drawing its own."""
    with torch.device("meta"):
        model = build()
    model = model.to_empty(device="cpu").eval()
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if name.startswith("classifier") or name.startswith("AuxLogits"):
            value.zero_()
        elif value.ndim > 1:
            value.normal_(std=(2 / value[0].numel()) ** 0.5)
        else:
            value.fill_(1 if "var" in name or (name.endswith("weight") and value.ndim == 1) else 0)
    return model


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def published(model, node, pictures, size):
    """Take the features as the published comparisons do, with torchvision's own tools."""
    inputs = normalize(resize(pictures, [size, size], InterpolationMode.BILINEAR, antialias=True), MEAN, STD)
    with torch.inference_mode():
        return create_feature_extractor(model, [node])(inputs)[node].flatten(1)


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
@pytest.mark.parametrize(
    ("name", "build", "node", "size", "width"),
    [
        ("alexnet2", models.alexnet, "features.4", 256, 184512),
        ("alexnet5", models.alexnet, "features.11", 256, 57600),
        ("inception", lambda: models.inception_v3(transform_input=True, init_weights=False), "avgpool", 342, 2048),
        ("efficientnet", models.efficientnet_b1, "avgpool", 255, 1280),
        ("swav", models.resnet50, "avgpool", 224, 2048),
    ],
)
def test_features_are_the_published_ones(home, monkeypatch, pictures, name, build, node, size, width):
    model = random_weights(build)
    state = model.state_dict()
    if name == "swav":  # was saved from a parallel run, with its training heads and without a classifier
        state = {f"module.{key}": value for key, value in state.items() if not key.startswith("fc.")}
        state |= {"module.projection_head.0.weight": torch.zeros(1), "module.prototypes.weight": torch.zeros(1)}
    (home / "hub" / "checkpoints" / NETWORKS[name].url.rsplit("/", 1)[1]).touch()
    monkeypatch.setattr(torch, "load", lambda *_, **__: state)  # hundreds of megabytes, if they were written
    features = Judge(name).features(pictures)
    assert features.shape == (2, width)
    expected = published(model, node, pictures, size)
    assert expected.std() > 0
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert not torch.allclose(features[0], features[1], rtol=1e-2)


def test_weights_are_read_where_torchvision_keeps_them(home):
    model = random_weights(models.efficientnet_b1)
    torch.save(model.state_dict(), home / "hub" / "checkpoints" / EFFICIENTNET)
    loaded = load_network("efficientnet")
    torch.testing.assert_close(loaded.features[0][0].weight, model.features[0][0].weight)
    assert not loaded.training


def test_clip_is_read_from_the_cache_of_hugging_face(home, monkeypatch, pictures):
    config = copy.deepcopy(CLIP) | {"quick_gelu": True}
    config["vision_cfg"]["image_size"] = 224
    (home / "tiny-judge.json").write_text(json.dumps(config))
    open_clip.add_model_config(home / "tiny-judge.json")
    monkeypatch.setattr(judge_networks, "CLIP_ARCHITECTURE", "tiny-judge")
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    repository = home / "hub-of-clip" / "models--timm--vit_large_patch14_clip_224.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    save_file(model.state_dict(), repository / "snapshots" / "abc" / "open_clip_model.safetensors")
    inputs = resize(pictures, [224, 224], InterpolationMode.BILINEAR, antialias=True)
    inputs = normalize(inputs, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    with torch.inference_mode():
        expected = model.encode_image(inputs)
    torch.testing.assert_close(Judge("clip-vit-l").features(pictures), expected, rtol=1e-3, atol=1e-5)


def test_clip_is_the_large_one_with_the_activation_of_its_training():
    config = open_clip.get_model_config(judge_networks.CLIP_ARCHITECTURE)
    assert (config["embed_dim"], config["vision_cfg"]["layers"], config["vision_cfg"]["width"]) == (768, 24, 1024)
    assert config["quick_gelu"]
    published = open_clip.get_pretrained_cfg("ViT-L-14", "openai")
    assert published["hf_hub"].strip("/") == judge_networks.CLIP_REPOSITORY
    assert (published["mean"], published["std"]) == (NETWORKS["clip-vit-l"].mean, NETWORKS["clip-vit-l"].std)


@pytest.mark.parametrize(
    ("name", "file", "url"),
    [
        ("alexnet2", "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
        ("alexnet5", "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
        ("inception", "inception_v3_google-0cc3c7bd.pth", "https://download.pytorch.org/models/inception_v3_google"),
        ("efficientnet", EFFICIENTNET, "https://download.pytorch.org/models/efficientnet_b1-c27df63c.pth"),
        ("swav", "swav_800ep_pretrain.pth.tar", "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain"),
    ],
)
def test_missing_weights_are_named_and_not_fetched(home, name, file, url):
    with pytest.raises(FileNotFoundError) as error:
        Judge(name)
    assert str(home / "hub" / "checkpoints" / file) in str(error.value)
    assert f"fetch them from {url}" in str(error.value)


def test_missing_clip_says_how_to_fetch_it():
    with pytest.raises(FileNotFoundError, match=r"hf download timm/vit_large_patch14_clip_224\.openai open_clip_model"):
        Judge("clip-vit-l")


def test_damaged_clip_is_named(monkeypatch, tmp_path):
    (tmp_path / "clip.safetensors").write_bytes(b"not weights")
    monkeypatch.setattr(judge_networks, "try_to_load_from_cache", lambda *_: str(tmp_path / "clip.safetensors"))
    with pytest.raises(ValueError, match=r"clip\.safetensors: damaged"):
        Judge("clip-vit-l")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R."])
def test_damaged_or_unsafe_weights_are_named(home, content):
    (home / "hub" / "checkpoints" / EFFICIENTNET).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{EFFICIENTNET}: damaged, or not the weights of the judge 'efficientnet'"):
        Judge("efficientnet")


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(1)}, [1, 2], {"epoch": 3}])
def test_weights_of_another_network(home, content):
    torch.save(content, home / "hub" / "checkpoints" / EFFICIENTNET)
    with pytest.raises(ValueError, match=rf"{EFFICIENTNET}: .*not the weights of the judge 'efficientnet'"):
        Judge("efficientnet")


def test_unknown_judge_gets_the_nearest_of_all():
    with pytest.raises(ValueError, match="did you mean 'alexnet"):
        Judge("alexnet")
    with pytest.raises(ValueError, match=r"known: .*clip-vit-l, .*embedded, .*swav"):
        Judge("zzz")
