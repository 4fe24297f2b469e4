"""What was seen: the embedded object pictures and folders of one's own."""

from braindecode_x.stimuli.base import Stimuli
from braindecode_x.stimuli.folder import FileStimuli, FolderStimuli
from braindecode_x.stimuli.objects import ObjectStimuli

__all__ = ["FileStimuli", "FolderStimuli", "ObjectStimuli", "Stimuli"]
