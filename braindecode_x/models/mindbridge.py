"""MindBridge: one network for many subjects' fMRI (Wang et al., CVPR 2024, arXiv 2404.07850)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from braindecode_x.models.base import KnowsSubjects
from braindecode_x.models.mindbridge_parts import Builder, Embedder, MindBridgeOutput, Translator
from braindecode_x.models.voxels import Aggregation, Brain, aggregate_voxels, check_aggregation, split_by_subject


class MindBridge(KnowsSubjects, nn.Module):
    """An embedder and a builder for each subject around a trunk that all share.

    Voxels are aggregated to ``in_dim``; the subject's embedder takes them to the shared space, its builder takes them
    back; translator and heads (the trunk) take the shared space to image and text embeddings. One subject makes the
    paper's single-subject network. New weights are drawn from torch's global generator.

    Parameters
    ----------
    subjects : mapping of str to int, or sequence of str
        Names with the number of voxels of each, which every batch is checked against (None: any number); or names
        alone. A subject's id is its place here.
    in_dim : int
        Length that voxels are aggregated to.
    hidden : int
        Size of the shared space.
    n_blocks : int
        Blocks of the translator.
    image_dim, text_dim : int or sequence of int
        Shape of one embedding: d for pooled targets, (tokens, d) for token targets. The paper's are (257, 768) and
        (77, 768).
    aggregation : {"max", "average", "resize"}
        See `aggregate_voxels`.
    adapter_dim : int
        Bottleneck of the adapters in embedder and builder.
    embedder_dropout, translator_dropout : float
    build_voxels : bool
        Have builders; without them nothing is reconstructed, cycled or synthesised (the published single-subject
        checkpoints have none).

    Raises
    ------
    ValueError
        No subject, a name that repeats or cannot name a module, or an unknown aggregation.
    """

    def __init__(
        self,
        subjects: Mapping[str, int | None] | Sequence[str],
        in_dim: int = 8192,
        hidden: int = 2048,
        n_blocks: int = 4,
        image_dim: int | Sequence[int] = (257, 768),
        text_dim: int | Sequence[int] = (77, 768),
        aggregation: Aggregation = "max",
        adapter_dim: int = 128,
        embedder_dropout: float = 0.5,
        translator_dropout: float = 0.15,
        build_voxels: bool = True,
    ):
        super().__init__()
        check_aggregation(aggregation)
        self.image_dim, self.text_dim = _shape("image_dim", image_dim), _shape("text_dim", text_dim)
        self.in_dim, self.aggregation, self.build_voxels = in_dim, aggregation, build_voxels
        self._sizes: dict[str, Any] = {
            "in_dim": in_dim,
            "hidden": hidden,
            "n_blocks": n_blocks,
            "image_dim": list(self.image_dim),
            "text_dim": list(self.text_dim),
            "aggregation": aggregation,
            "adapter_dim": adapter_dim,
            "embedder_dropout": embedder_dropout,
            "translator_dropout": translator_dropout,
            "build_voxels": build_voxels,
        }
        self.translator = Translator(hidden, n_blocks, translator_dropout)
        self.head_image = nn.Linear(hidden, math.prod(self.image_dim))
        self.head_text = nn.Linear(hidden, math.prod(self.text_dim))
        self.subjects: dict[str, int | None] = {}
        self.embedders, self.builders = nn.ModuleDict(), nn.ModuleDict()
        if isinstance(subjects, str) or not subjects:
            raise ValueError(f"subjects: expected names, or names with numbers of voxels, found {subjects!r}")
        for name in subjects:
            self.add_subject(name, subjects[name] if isinstance(subjects, Mapping) else None)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's values with the present subjects, plain enough for JSON."""
        return {"subjects": dict(self.subjects), **self._sizes}

    def add_subject(self, name: str, n_voxels: int | None = None) -> int:
        """Give a new subject an embedder and a builder, the first step of reset-tuning; all else stays as it is.

        Parameters
        ----------
        name : str
        n_voxels : int, optional
            What this subject's trials are checked against.

        Returns
        -------
        int
            The new subject's id; ids of the others do not change.

        Raises
        ------
        ValueError
            The name is there already or cannot name a module, or the number of voxels is below 1.
        """
        if name in self.subjects:
            raise ValueError(f"subject {name!r} is there already; reset_subject gives it fresh weights")
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"subject {name!r}: the name cannot be a module's; expected one like 'subj01'")
        if n_voxels is not None and n_voxels < 1:
            raise ValueError(f"subject {name!r}: expected at least 1 voxel, found {n_voxels}")
        self.subjects[name] = n_voxels
        self._make_subject(name)
        return len(self.subjects) - 1

    def reset_subject(self, name: str) -> None:
        """Draw a known subject's embedder and builder anew; its id and all else stay as they are.

        Optimisers that hold the old weights have to be made anew.
        """
        self.subject_id(name)
        self._make_subject(name)

    def freeze_trunk(self, frozen: bool = True) -> None:
        """Keep translator and heads from being trained (or let them be trained again)."""
        for part in (self.translator, self.head_image, self.head_text):
            part.requires_grad_(not frozen)

    def forward(
        self,
        brain: Brain,
        subject: torch.Tensor,
        mask: torch.Tensor | None = None,
        cycle_pair: tuple[int, int] | None = None,
    ) -> MindBridgeOutput:
        """Predict embeddings for trials of any subjects, in any order and number.

        Parameters
        ----------
        brain : torch.Tensor or sequence of torch.Tensor
            (batch, voxels), padded where ``mask`` says so; or tensors of one trial (voxels,) or several (trials,
            voxels).
        subject : torch.Tensor
            (batch,) of integers, ids.
        mask : torch.Tensor, optional
            (batch, voxels) of bool, true where a voxel was measured. Default: everywhere.
        cycle_pair : tuple of int, optional
            Ids (a, b), for example of `cycle_pair`: a's embeddings also go through b's builder and embedder.

        Raises
        ------
        ValueError
            Unknown subject id, or a number of voxels that is not the subject's.
        """
        trials = split_by_subject(brain, self._checked_ids(subject.tolist()), mask)
        aggregated, embedded, rebuilt = {}, {}, {}
        for number, (_, voxels) in trials.items():
            name = self._name(number)
            aggregated[number] = self._aggregate(voxels, name)
            embedded[number] = self.embedders[name](aggregated[number])
            if self.build_voxels:
                rebuilt[number] = self.builders[name](embedded[number])
        places = torch.tensor([place for rows, _ in trials.values() for place in rows]).argsort().to(subject.device)
        embedding = torch.cat(list(embedded.values()))[places]
        cycle_source, cycle = self._cycle(embedded, cycle_pair)
        return MindBridgeOutput(
            *self.translate(embedding),
            embedding=embedding,
            aggregated=torch.cat(list(aggregated.values()))[places],
            reconstruction=torch.cat(list(rebuilt.values()))[places] if rebuilt else None,
            cycle_source=cycle_source,
            cycle=cycle,
        )

    def translate(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the shared space (n, hidden) to image and text embeddings, (n, *image_dim) and (n, *text_dim)."""
        translated = self.translator(embedding)
        image = self.head_image(translated).unflatten(1, self.image_dim)
        return image, self.head_text(translated).unflatten(1, self.text_dim)

    def synthesise(self, brain: torch.Tensor, source: str, target: str) -> torch.Tensor:
        """Predict one subject's activity from another's.

        Parameters
        ----------
        brain : torch.Tensor
            (n, voxels) of the source.
        source, target : str
            Names of subjects.

        Returns
        -------
        torch.Tensor
            (n, in_dim), the target's activity, aggregated.

        Raises
        ------
        ValueError
            Unknown subject, wrong number of voxels, or a network without builders.
        """
        for name in (source, target):
            self.subject_id(name)
        self._require_builders()
        return self.builders[target](self.embedders[source](self._aggregate(brain, source)))

    def _make_subject(self, name: str) -> None:
        in_dim, hidden, adapter_dim = (self._sizes[size] for size in ("in_dim", "hidden", "adapter_dim"))
        like = self.head_image.weight
        embedder = Embedder(in_dim, hidden, adapter_dim, self._sizes["embedder_dropout"])
        self.embedders[name] = embedder.to(like).train(self.training)
        if self.build_voxels:
            self.builders[name] = Builder(in_dim, hidden, adapter_dim).to(like).train(self.training)

    def _name(self, number: int) -> str:
        return list(self.subjects)[number]

    def _checked_ids(self, ids: Sequence[int]) -> Sequence[int]:
        unknown = sorted({number for number in ids if number not in range(len(self.subjects))})
        if unknown:
            known = ", ".join(f"{number} {name}" for number, name in enumerate(self.subjects))
            raise ValueError(f"subject: the ids {unknown} are unknown to this network; it knows {known}")
        return ids

    def _aggregate(self, voxels: torch.Tensor, name: str) -> torch.Tensor:
        expected = self.subjects[name]
        if expected is not None and voxels.shape[1] != expected:
            raise ValueError(
                f"brain: subject {name!r} has {expected} voxels, found {voxels.shape[1]}; padding needs a mask"
            )
        return aggregate_voxels(voxels, self.in_dim, self.aggregation)

    def _cycle(
        self, embedded: dict[int, torch.Tensor], pair: tuple[int, int] | None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if pair is None or self._checked_ids(pair)[0] not in embedded:
            return None, None
        self._require_builders()
        source, through = embedded[pair[0]], self._name(pair[1])
        return source, self.embedders[through](self.builders[through](source))

    def _require_builders(self) -> None:
        if not self.build_voxels:
            raise ValueError("this MindBridge has no builders (build_voxels=False); activity cannot be rebuilt")


def cycle_pair(subject: torch.Tensor, generator: torch.Generator | None = None) -> tuple[int, int] | None:
    """Choose the subjects a and b of the cycle among those of a batch.

    Parameters
    ----------
    subject : torch.Tensor
        (batch,) of integers, ids.
    generator : torch.Generator, optional
        On the CPU: draws two different subjects, as in training. Default: smallest and largest id, as when adapting
        (an added subject comes last).

    Returns
    -------
    tuple of int, or None
        None when there are fewer than two subjects.
    """
    present = sorted(set(subject.tolist()))
    if len(present) < 2:
        return None
    if generator is None:
        return present[0], present[-1]
    a, b = torch.randperm(len(present), generator=generator)[:2].tolist()
    return present[a], present[b]


def _shape(name: str, dim: int | Sequence[int]) -> tuple[int, ...]:
    shape = (dim,) if isinstance(dim, int) else tuple(dim)
    if not shape or min(shape) < 1:
        raise ValueError(f"{name}: expected a size, or sizes, of at least 1, found {dim}")
    return shape
