"""How well it went: retrieval, identification, image quality, and what is due to chance."""

from braindecode_x.metrics.identification import correlation_distance, two_way_identification
from braindecode_x.metrics.image_quality import pixcorr, ssim
from braindecode_x.metrics.retrieval import k_way_accuracy, ranks, retrieval_scores, similarity, top_k
from braindecode_x.metrics.significance import (
    bootstrap_difference,
    bootstrap_interval,
    permutation_p_value,
    permute_within,
)

__all__ = [
    "bootstrap_difference",
    "bootstrap_interval",
    "correlation_distance",
    "k_way_accuracy",
    "permutation_p_value",
    "permute_within",
    "pixcorr",
    "ranks",
    "retrieval_scores",
    "similarity",
    "ssim",
    "top_k",
    "two_way_identification",
]
