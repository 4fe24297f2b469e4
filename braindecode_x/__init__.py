"""From recorded brain activity to the picture a person saw."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("braindecode-x")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
