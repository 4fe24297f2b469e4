"""Token targets from the data module to a training, a file of embeddings and a decoder folder."""

from __future__ import annotations

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from small_cohort import SmallCohort

from braindecode_x.callbacks import SaveDecoder, WriteEmbeddings
from braindecode_x.clip import ClipEncoder, TokenEncoder
from braindecode_x.datamodules import BetasDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.embeddings import Embeddings
from braindecode_x.tasks import MindBridgeTask, RidgeTask

IMAGE, TEXT = (5, 8), (16, 8)  # of the tiny CLIP: a class token and four patches; a context of 16


@pytest.fixture
def data(tiny_clip):
    return BetasDataModule(SmallCohort(), clip=str(tiny_clip), kind="tokens", batch_size=60)


def trainer(folder, *callbacks: L.Callback) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        max_epochs=1,
        logger=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def test_batches_carry_every_token_of_their_pictures_and_captions(data, tiny_clip):
    batch = next(iter(data.val_dataloader()))
    encoder, stimuli = TokenEncoder(ClipEncoder(tiny_clip)), data.cohort.stimuli
    assert batch.image_target.dtype == batch.text_target.dtype == torch.float16
    images = encoder.encode_images([stimuli.image(name) for name in batch.stimulus])
    texts = encoder.encode_texts(stimuli.table["caption"][batch.stimulus].tolist())
    torch.testing.assert_close(batch.image_target.float(), images, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(batch.text_target.float(), texts, atol=1e-3, rtol=1e-3)
    assert images.shape[1:] == data.space.shape == IMAGE
    assert texts.shape[1:] == data.text_space.shape == TEXT
    assert data.text_space.normalisation == "end-token"


def test_from_training_to_embeddings_and_a_decoder_folder(data, tmp_path):
    L.seed_everything(0, verbose=False)
    task = MindBridgeTask(in_dim=12, hidden=16, n_blocks=1, adapter_dim=4)
    checkpoint = ModelCheckpoint(tmp_path, "best", monitor="val/top1", mode="max")
    trainer(tmp_path, checkpoint, SaveDecoder(tmp_path / "decoder")).fit(task, datamodule=data)
    again = MindBridgeTask(in_dim=12, hidden=16, n_blocks=1, adapter_dim=4)
    writer = trainer(tmp_path, WriteEmbeddings(tmp_path / "predictions.safetensors"))
    writer.predict(again, datamodule=data, ckpt_path=tmp_path / "best.ckpt", weights_only=True)

    predicted = Embeddings.load(tmp_path / "predictions.safetensors")
    assert (predicted.space, predicted.text_space) == (data.space, data.text_space)
    assert predicted.image.shape[1:] == IMAGE
    assert predicted.text.shape[1:] == TEXT
    torch.testing.assert_close(predicted.image[:, 0].norm(dim=-1), torch.ones(len(predicted.image)))

    decoder = BrainDecoder.from_pretrained(tmp_path / "decoder")
    assert (decoder.space, decoder.text_space) == (data.space, data.text_space)
    recording, rows = data.recordings["ben"], predicted.index.index[predicted.index["subject"] == "ben"]
    shown = recording.trials["stimulus"].to_numpy()
    betas = np.stack([recording.betas[shown == name].mean(0) for name in predicted.index["stimulus"][rows]])
    image, text = decoder.predict(betas, "ben")
    torch.testing.assert_close(image, predicted.image[rows], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(text, predicted.text[rows], atol=1e-4, rtol=1e-3)


def test_ridge_refuses_tokens_and_an_unknown_kind_gets_the_nearest(data, tmp_path):
    with pytest.raises(ValueError, match="ridge decodes to pooled embeddings"):
        trainer(tmp_path).fit(RidgeTask(), datamodule=data)
    with pytest.raises(ValueError, match="unknown kind of targets 'token'; did you mean 'tokens'"):
        BetasDataModule(SmallCohort(), kind="token")
