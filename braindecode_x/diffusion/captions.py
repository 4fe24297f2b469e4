"""The caption branch: decoded embeddings to captions, whose text embeddings guide the diffusion as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from transformers import AutoImageProcessor, AutoTokenizer, GitForCausalLM

from braindecode_x.clip import ClipEncoder
from braindecode_x.embeddings import Embeddings


def nearest_captions(given: Embeddings, captions: Sequence[str], encoder: ClipEncoder) -> list[str]:
    """Find, for every embedding, the caption whose text embedding has the largest cosine with it.

    Parameters
    ----------
    given : Embeddings
        Decoded. Text embeddings are compared where there are some, else image embeddings.
    captions : sequence of str
        To choose from: of training pictures, say. Captions of what was seen would make it a choice among the answers.
    encoder : ClipEncoder
        Of the embeddings' space.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        No caption, or an encoder of another space.
    """
    choice = sorted({caption for caption in captions if caption})
    if not choice:
        raise ValueError("captions: expected some to choose from, found none")
    encoder.space.require(given.space, "the encoder of captions")
    decoded = given.image if given.text is None or given.text_space not in (None, given.space) else given.text
    vectors = torch.cat([encoder.encode_texts(choice[start : start + 256]) for start in range(0, len(choice), 256)])
    # Pictures and texts lie in different parts of the space: what is common to each side tells nothing.
    ours, theirs = (F.normalize(side - side.mean(0), dim=1) for side in (decoded.float(), vectors))
    return [choice[place] for place in (ours @ theirs.T).argmax(1).tolist()]


def with_captions(given: Embeddings, captions: Sequence[str], encoder: ClipEncoder) -> Embeddings:
    """Put the text embeddings of captions beside image embeddings, and the captions into the index.

    Parameters
    ----------
    given : Embeddings
    captions : sequence of str
        One an embedding.
    encoder : ClipEncoder
        Of the embeddings' space.
    """
    encoder.space.require(given.space, "the encoder of captions")
    if len(captions) != len(given.ids):
        raise ValueError(f"captions: expected {len(given.ids)}, one an embedding, found {len(captions)}")
    text = torch.cat([encoder.encode_texts(captions[start : start + 256]) for start in range(0, len(captions), 256)])
    return replace(given, index=given.index.assign(caption=list(captions)), text=text, text_space=None)


class GitCaptioner:
    """GIT (arXiv 2205.14100) tells what pictures show.

    Parameters
    ----------
    model : transformers.GitForCausalLM
    tokenizer, processor
        Of texts and of pictures.
    """

    def __init__(self, model: Any, tokenizer: Any, processor: Callable[..., Any]):
        self.model, self.tokenizer, self.processor = model.eval(), tokenizer, processor

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> Self:
        """Load a folder as transformers saves it (or one in its cache, by name); nothing is downloaded.

        Raises
        ------
        FileNotFoundError
            It is not there, or not whole.
        """
        parts = []
        for kind in (GitForCausalLM, AutoTokenizer, AutoImageProcessor):
            try:
                parts.append(kind.from_pretrained(str(folder), local_files_only=True))
            except (OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise FileNotFoundError(
                    f"{folder}: no whole GIT model, such as microsoft/git-base ({reason})"
                ) from error
        model: Any = parts[0]
        return cls(model.to(device), parts[1], parts[2])

    @torch.inference_mode()
    def __call__(
        self, pictures: torch.Tensor, max_length: int = 20, batch_size: int = 16, progress: bool = False
    ) -> list[str]:
        """Caption pictures (n, 3, height, width) in [0, 1], by the most likely word each time."""
        captions: list[str] = []
        for start in track(range(0, len(pictures), batch_size), "caption", disable=not progress):
            batch = pictures[start : start + batch_size].mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            values = self.processor(images=list(np.asarray(batch)), return_tensors="pt")["pixel_values"]
            ids = self.model.generate(
                pixel_values=values.to(self.model.device), max_new_tokens=max_length, do_sample=False, num_beams=1
            )
            captions += [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return captions
