from __future__ import annotations

import pytest
import torch
from open_clip import CLIP
from transformers import CLIPConfig, CLIPModel

from braindecode_x.clip.tokens import image_tokens
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.published import load_published_clip, load_published_mindbridge

OURS = {
    "embedders.": "embedder.",
    "builders.": "builder.",
    "blocks.": "mlp.",
    ".down.": ".down_proj.",
    ".up.": ".up_proj.",
}


def published_state(**sizes) -> dict[str, torch.Tensor]:
    """Write a network of ours in the published names."""
    torch.manual_seed(0)
    sizes = {"in_dim": 16, "hidden": 8, "n_blocks": 3, "image_dim": 10, "text_dim": 6, "adapter_dim": 4} | sizes
    state = {}
    for name, tensor in MindBridge(["7", "2"], **sizes).state_dict().items():
        for ours, theirs in OURS.items():
            name = name.replace(ours, theirs)
        state[name] = torch.randn_like(tensor)
    return state


def test_sizes_and_subjects_are_read_off_the_weights():
    model = load_published_mindbridge(published_state(), n_voxels={"2": 20, "7": 30}, text_dim=(3, 2))
    assert model.config == {
        "subjects": {"7": 30, "2": 20},
        "in_dim": 16,
        "hidden": 8,
        "n_blocks": 3,
        "image_dim": [10],
        "text_dim": [3, 2],
        "aggregation": "max",
        "adapter_dim": 4,
        "embedder_dropout": 0.5,
        "translator_dropout": 0.15,
        "build_voxels": True,
    }
    assert not model.training


def test_sizes_of_the_papers_tokens_get_their_shapes():
    model = load_published_mindbridge(published_state(hidden=1, image_dim=(257, 768), text_dim=(77, 768)))
    assert (model.image_dim, model.text_dim) == ((257, 768), (77, 768))


def test_weights_are_copied():
    state = published_state()
    model = load_published_mindbridge(state)
    state["head_image.bias"].zero_()
    assert model.head_image.bias.abs().sum() > 0


@pytest.mark.parametrize("key", [None, "model_state_dict"])
def test_a_file_gives_what_its_content_gives(tmp_path, key):
    state = published_state()
    torch.save(state if key is None else {"epoch": 3, key: state, "lrs": [0.1]}, tmp_path / "last.pth")
    loaded = load_published_mindbridge(tmp_path / "last.pth").state_dict()
    expected = load_published_mindbridge(state).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_a_wrong_state_dict_is_told_name_by_name():
    state = published_state()
    state["embedder.2.1.weights"] = state.pop("embedder.2.1.weight")
    state["builder.7.0.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match="not the weights of a MindBridge network") as error:
        load_published_mindbridge(state)
    for part in (
        "1 missing (embedder.2.1.weight)",
        "1 unexpected (embedder.2.1.weights)",
        "1 of another shape (builder.7.0.bias (3,) instead of (16,))",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["embedder.7.1.weight", "embedder.7.0.down_proj.weight", "head_image.weight"])
def test_weights_that_tell_the_sizes_are_missed_by_name(name):
    state = published_state()
    del state[name]
    with pytest.raises(ValueError, match=rf"1 missing \({name}\)"):
        load_published_mindbridge(state)


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r"missing \(embedder\.<subject>.*it holds conv\.weight"):
        load_published_mindbridge({"conv.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"expected tensors by name.*found \['epoch'\]"):
        load_published_mindbridge({"epoch": 3})


def test_voxels_of_other_subjects_are_refused():
    with pytest.raises(ValueError, match=r"has the subjects \['7', '2'\], found \['7', '3'\]"):
        load_published_mindbridge(published_state(), n_voxels={"7": 30, "3": 20})


def test_files_that_cannot_be_read_safely_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_published_mindbridge(tmp_path / "nothing.pth")
    torch.save({"model_state_dict": published_state(), "model": torch.nn.Linear(1, 1)}, tmp_path / "objects.pth")
    with pytest.raises(ValueError, match=r"objects\.pth: .*could run code"):
        load_published_mindbridge(tmp_path / "objects.pth")
    content = (tmp_path / "objects.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut\.pth: damaged"):
        load_published_mindbridge(tmp_path / "cut.pth")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match=r"empty\.pth: damaged"):
        load_published_mindbridge(tmp_path / "empty.pth")


@pytest.fixture(scope="module")
def hugging_face_clip() -> CLIPModel:
    torch.manual_seed(0)
    tower = {"num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**tower, "hidden_size": 128, "intermediate_size": 64, "image_size": 32, "patch_size": 16}
    text = {**tower, "hidden_size": 128, "intermediate_size": 96, "vocab_size": 30, "max_position_embeddings": 7}
    text |= {"bos_token_id": 28, "eos_token_id": 29, "pad_token_id": 29}
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=24)).eval()


@torch.inference_mode()
def test_clip_answers_as_its_hugging_face_twin(hugging_face_clip):
    model = load_published_clip(hugging_face_clip.state_dict())
    assert isinstance(model, CLIP)
    pixels, ids = torch.randn(2, 3, 32, 32), torch.tensor([[28, 3, 5, 29, 29, 29, 29], [28, 1, 2, 3, 4, 5, 29]])
    theirs = hugging_face_clip(input_ids=ids, pixel_values=pixels)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(model.encode_image(pixels)), theirs.image_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(unit(model.encode_text(ids)), theirs.text_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.logit_scale, hugging_face_clip.logit_scale)
    torch.testing.assert_close(image_tokens(model, pixels)[:, 0], theirs.image_embeds, atol=1e-5, rtol=1e-4)


def test_clip_weights_that_lack_a_part_are_refused(hugging_face_clip):
    state = dict(hugging_face_clip.state_dict())
    del state["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    with pytest.raises(ValueError, match=r"1 missing \(vision_model\.encoder\.layers\.1\.self_attn\.k_proj\.weight\)"):
        load_published_clip(state)
    with pytest.raises(ValueError, match=r"missing \(vision_model\.embeddings\.patch_embedding\.weight\)"):
        load_published_clip(published_state())
