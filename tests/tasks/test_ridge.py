from __future__ import annotations

import lightning as L
import pytest
import torch
from small_cohort import SmallCohort

from braindecode_x.datamodules import BetasDataModule
from braindecode_x.decoder import BrainDecoder
from braindecode_x.models.ridge import RidgeDecoder
from braindecode_x.tasks import RidgeTask


def fitted(data: BetasDataModule) -> RidgeTask:
    task = RidgeTask()
    trainer = L.Trainer(
        max_epochs=1,
        limit_train_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, datamodule=data)
    return task


def test_it_predicts_what_each_subjects_ridge_predicts(tiny_clip, tmp_path):
    data = BetasDataModule(SmallCohort(), clip=str(tiny_clip))
    task = fitted(data)
    BrainDecoder(task.model, task.space, task.standardisations).save_pretrained(tmp_path)
    decoder = BrainDecoder.from_pretrained(tmp_path)
    for name in data.subjects:
        stimuli, brain = data.averaged(name, "train")
        targets = [torch.stack(kind).numpy() for kind in zip(*map(data.targets.__getitem__, stimuli), strict=True)]
        raw = data.recordings[name].betas[:4]
        standardised = data.standardisations[name](raw)
        for found, target in zip(decoder.predict(raw, name), targets, strict=True):
            expected = torch.from_numpy(RidgeDecoder().fit(brain, target).predict(standardised))
            torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-4, rtol=1e-3)


def test_without_captions_there_is_no_text(tiny_clip):
    data = BetasDataModule(SmallCohort(), clip=str(tiny_clip))
    data.targets = {name: (image, None) for name, (image, _) in data.targets.items()}
    task = fitted(data)
    image, text = task.predict_embeddings(next(iter(data.test_dataloader())))
    assert image.abs().sum() > 0
    assert text is None


def test_another_subjects_voxels_are_refused(tiny_clip):
    task = fitted(BetasDataModule(SmallCohort(), clip=str(tiny_clip)))
    with pytest.raises(ValueError, match="subject 'ben' has 12 voxels, found 9"):
        task.model(torch.zeros(1, 9), torch.tensor([1]))
