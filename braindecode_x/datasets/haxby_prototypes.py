"""Pictures that stand for the categories of Haxby et al. 2001; the original photographs are not in the package."""

from __future__ import annotations

from PIL import Image

from braindecode_x.stimuli import ObjectStimuli
from braindecode_x.stimuli.objects import RENDERINGS
from braindecode_x.stimuli.scramble import phase_scramble

CONCEPTS = {
    "bottle": "bottle_with_popping_cork",
    "cat": "cat",
    "chair": "chair",
    "face": "adult",
    "house": "house_building",
    "scissors": "scissors",
    "shoe": "mans_shoe",
}
SCRAMBLED, SCRAMBLED_SOURCE = "scrambledpix", "house"
SIZE = 128


def category_prototypes() -> dict[str, list[Image.Image]]:
    """Return three pictures (128 pixels) of every category: a training concept's renderings.

    Those of ``scrambledpix`` are the house's renderings with scrambled phases.

    Returns
    -------
    dict of str to list of PIL.Image.Image
        Keys as in the recording's labels; the first picture is the 3D rendering.
    """
    stimuli = ObjectStimuli()
    pictures = {
        category: [
            stimuli.image(f"{concept}-{rendering}").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            for rendering in RENDERINGS
        ]
        for category, concept in CONCEPTS.items()
    }
    pictures[SCRAMBLED] = [phase_scramble(image, seed=k) for k, image in enumerate(pictures[SCRAMBLED_SOURCE])]
    return dict(sorted(pictures.items()))
