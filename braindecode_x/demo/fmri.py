"""Simulated fMRI: one MindBridge for all subjects beside ridge, from training to pictures."""

from __future__ import annotations

from pathlib import Path

from braindecode_x.clip import ClipEncoder
from braindecode_x.demo.cohort import CohortResult, score_systems, show_found, show_pictures, train_and_predict
from braindecode_x.report import Page
from braindecode_x.stimuli import Stimuli

SUBJECTS = ("sub-01", "sub-02", "sub-03")
RECONSTRUCTED = SUBJECTS[:2]


def decode_fmri(
    output: Path, encoder: ClipEncoder, seed: int, n_pictures: int, epochs: int, training: Stimuli | None
) -> CohortResult:
    """Train on the simulated subjects, find all test pictures, and reconstruct some of them."""
    mindbridge, length = output / "mindbridge", ("--trainer.max_epochs", str(epochs))
    data = ("--data.init_args.subjects", f"[{', '.join(SUBJECTS)}]")
    decoded = {
        "MindBridge": train_and_predict(mindbridge, "mindbridge_simulated.yaml", *data, *length),
        "ridge": train_and_predict(output / "ridge", "ridge_simulated.yaml", *data),
    }
    return score_systems(decoded, output, encoder, seed, n_pictures, RECONSTRUCTED, training, mindbridge)


def show_fmri(page: Page, result: CohortResult) -> None:
    """Add what was found to the page."""
    page.heading("Simulated fMRI, one MindBridge for all subjects")
    page.text(
        "Three simulated subjects with different numbers of voxels saw 1,076 pictures three times each. One "
        "MindBridge was trained for all of them, and ridge for each; then both decoded 200 pictures of concepts that "
        "no trained part knows. The systems were stopped and chosen on other, validation pictures. "
        "mindbridge_simulated.yaml trains on six subjects."
    )
    show_found(page, result)
    show_pictures(page, result)
