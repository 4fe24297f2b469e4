"""Pickles: the data come through whole, and nothing in a file is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from braindecode_x.datasets.restricted_pickle import read_pickled, read_pickled_dictionary

CONTENT = {
    "eeg": np.arange(24, dtype=np.float64).reshape(2, 3, 4),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "ch_names": ["Fp1", "stim"],
    "sfreq": np.float64(1000),
    "names": np.array(["a", "b"]),
    "mixed": {"tuple": (1, 2.5, None, True), "objects": np.array(["Oz", 3], dtype=object)},
}


class Poison:
    """What runs a command when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def same(found: dict) -> bool:
    assert found.keys() == CONTENT.keys()
    for name in ("eeg", "transposed", "names"):
        np.testing.assert_array_equal(found[name], CONTENT[name])
        assert found[name].dtype == CONTENT[name].dtype
    assert found["mixed"]["tuple"] == CONTENT["mixed"]["tuple"]
    assert found["mixed"]["objects"].tolist() == ["Oz", 3]
    return found["ch_names"] == CONTENT["ch_names"] and found["sfreq"] == 1000


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_under_an_npy_name_is_read(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "preprocessed.npy"
    file.write_bytes(pickle.dumps(CONTENT, protocol))
    assert same(read_pickled_dictionary(file))


def test_a_dictionary_in_an_npy_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "raw.npy", CONTENT)
    assert same(read_pickled_dictionary(tmp_path / "raw.npy"))


@pytest.mark.parametrize(("written", "other"), [(b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")])
def test_pickles_of_old_and_new_numpy_are_read(tmp_path: Path, written: bytes, other: bytes) -> None:
    file = tmp_path / "other.npy"
    text = pickle.dumps(CONTENT, 0)  # names stand in lines of their own in this protocol
    assert written in text or other in text
    file.write_bytes(text.replace(written, other))
    assert same(read_pickled_dictionary(file))


@pytest.mark.parametrize("how", ["bare", "npy", "within an array"])
def test_a_poisoned_pickle_is_refused_by_name_and_not_run(tmp_path: Path, how: str) -> None:
    file, mark = tmp_path / "poisoned.npy", tmp_path / "ran"
    poison = {"eeg": CONTENT["eeg"], "info": Poison(mark)}
    if how == "bare":
        file.write_bytes(pickle.dumps(poison))
    else:
        np.save(file, poison if how == "npy" else np.array([[Poison(mark)]], dtype=object))
    with pytest.raises(ValueError, match=r"poisoned\.npy: refused.*posix\.system") as error:
        read_pickled_dictionary(file)
    assert not mark.exists()
    assert "only NumPy arrays and builtin containers" in str(error.value)


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__", "type"])
def test_builtin_functions_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "call.npy"
    file.write_bytes(f"cbuiltins\n{name}\n(S'1+1'\ntR.".encode())
    with pytest.raises(ValueError, match=rf"builtins\.{name}"):
        read_pickled_dictionary(file)


@pytest.mark.parametrize("name", ["lib.format.open_memmap", "f2py.compile", "load"])
def test_other_functions_of_numpy_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "call.npy"
    module, _, function = f"numpy.{name}".rpartition(".")
    file.write_bytes(f"c{module}\n{function}\n(S'x'\ntR.".encode())
    with pytest.raises(ValueError, match=f"asks for {module}.{function}"):
        read_pickled_dictionary(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
        (pickle.dumps(CONTENT)[:-40], "damaged"),
        (pickle.dumps([1, 2]), "expected a pickled dictionary, found list"),
    ],
)
def test_what_is_no_dictionary_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "broken.npy"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_pickled_dictionary(file)
    assert str(file) in str(error.value)


def test_an_array_without_a_dictionary_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"plain\.npy.*found an array of float64"):
        read_pickled_dictionary(tmp_path / "plain.npy")
    with pytest.raises(FileNotFoundError, match=r"missing\.npy: no such file"):
        read_pickled_dictionary(tmp_path / "missing.npy")


def test_arrays_and_numbers_are_read_from_memory(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_pickled(pickle.dumps(CONTENT["eeg"]), "a.bold.pyd"), CONTENT["eeg"])
    assert read_pickled(pickle.dumps(np.float32(0.5)), "a.t_r.pyd") == 0.5
    with pytest.raises(ValueError, match=r"a\.bold\.pyd: refused.*posix\.system"):
        read_pickled(pickle.dumps(Poison(tmp_path / "ran")), "a.bold.pyd")
    assert not (tmp_path / "ran").exists()
