"""Reading pickles of other people's without running what is in them: NumPy arrays and builtin containers, no more."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

# NumPy's module of compiled code was called numpy.core before NumPy 2.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]
_BUILTINS = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Make the bytes that old pickles write as text."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes written as text in {encoding!r}; expected latin1")
    return text.encode("latin1")


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _known() -> dict[tuple[str, str], Any]:
    known: dict[tuple[str, str], Any] = {
        (module, kind.__name__): kind for kind in _BUILTINS for module in ("builtins", "__builtin__")
    }
    known |= {("_codecs", "encode"): _latin1, ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for core in ("numpy.core", "numpy._core"):
        known[f"{core}.multiarray", "_reconstruct"] = _RECONSTRUCT
        known[f"{core}.multiarray", "scalar"] = _SCALAR
        known[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return known


_KNOWN = _known()


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that makes NumPy arrays, their dtypes and scalars, and builtin containers of these.

    Raises
    ------
    pickle.UnpicklingError
        The pickle asks for anything else; the message names it as module.name.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few known classes and functions."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only NumPy arrays and builtin containers are read"
            ) from None


def read_pickled(content: bytes, what: str) -> Any:
    """Read what somebody else pickled, from memory.

    Parameters
    ----------
    content : bytes
        A bare pickle.
    what : str
        What it is, for errors.

    Returns
    -------
    object
        A NumPy array or scalar, or builtin containers of these.

    Raises
    ------
    ValueError
        It asks for anything else, or is damaged.
    """
    return _guarded(what, lambda: RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load())


def read_pickled_dictionary(file: str | Path) -> dict[str, Any]:
    """Read a dictionary that was written with ``numpy.save``, or with ``pickle.dump`` under any name.

    Parameters
    ----------
    file : str or Path
        An ``.npy`` file with a header and a pickled array of one object, or a bare pickle.

    Returns
    -------
    dict
        Of NumPy arrays and builtin containers.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file asks for anything but NumPy arrays and builtin containers, is damaged, or holds no dictionary; the
        message names it.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    with file.open("rb") as stream:
        content = _guarded(file, lambda: _load(stream))
    if isinstance(content, np.ndarray) and content.dtype == object and content.size == 1:
        content = content.item()
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a pickled dictionary, found {type(content).__name__}")
    return content


def _guarded(what: object, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except pickle.UnpicklingError as error:
        raise ValueError(f"{what}: refused, or damaged: {error}") from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        raise ValueError(f"{what}: damaged, or no pickle ({type(error).__name__}: {error})") from error


def _load(stream: BinaryIO) -> Any:
    magic = stream.read(len(npy_format.MAGIC_PREFIX))
    stream.seek(0)
    if magic == npy_format.MAGIC_PREFIX:
        version = npy_format.read_magic(stream)
        read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        _, _, dtype = read_header(stream)
        if not dtype.hasobject:
            raise pickle.UnpicklingError(f"expected a pickled dictionary, found an array of {dtype}")
    return RestrictedUnpickler(stream, encoding="latin1").load()
