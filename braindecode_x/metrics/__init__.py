"""How well it went: retrieval, identification, image quality, and what is due to chance."""

from braindecode_x.metrics.identification import correlation_distance, two_way_identification
from braindecode_x.metrics.image_quality import pixcorr, ssim
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks, retrieval_scores, similarity, top_k
from braindecode_x.metrics.significance import (
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_intervals,
    holm,
    permutation_p_value,
    permute_within,
    sign_flip_p_value,
)

__all__ = [
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_intervals",
    "correlation_distance",
    "holm",
    "k_way_accuracy",
    "permutation_p_value",
    "permute_within",
    "pixcorr",
    "ranks",
    "retrieval_scores",
    "sign_flip_p_value",
    "similarity",
    "ssim",
    "top_k",
    "two_way_identification",
]
