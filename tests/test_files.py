from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindecode_x.files import atomic_folder, atomic_path, file_hash, unknown_name, write_json, write_text

HALF_WRITTEN = """
import sys, time
from braindecode_x.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    with open(temporary, "w") as stream:
        stream.write("half of the new")
        stream.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


def test_atomic_path_makes_folders_and_keeps_the_extension(tmp_path):
    target = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".csv"
        assert temporary.parent == target.parent
        temporary.write_text("new")
        assert not target.exists()
    assert [p.name for p in target.parent.iterdir()] == ["table.csv"]
    assert target.read_text() == "new"


def test_atomic_path_keeps_the_old_file_when_the_writer_raises(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def write_until_the_disk_is_full():
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_until_the_disk_is_full()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_atomic_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "folder"
    (tmp_path / "new" / ".partial-folder").mkdir(parents=True)  # as a killed run leaves it
    (tmp_path / "new" / ".partial-folder" / "old.txt").touch()

    def write(name, fail):
        with atomic_folder(target) as temporary:
            (temporary / name).write_text("new")
            if fail:
                raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write("a.txt", fail=True)
    assert not list((tmp_path / "new").iterdir())
    write("a.txt", fail=False)
    with pytest.raises(OSError, match="no space left"):
        write("b.txt", fail=True)
    assert [path.name for path in target.iterdir()] == ["a.txt"]
    write("b.txt", fail=False)
    assert [path.name for path in target.iterdir()] == ["b.txt"]


def test_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with subprocess.Popen([sys.executable, "-c", HALF_WRITTEN, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["table.csv"]
    write_text(target, "new")
    assert target.read_text() == "new"


def test_json_round_trip(tmp_path):
    content = {"name": "Größe", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == content


no_zeros = st.binary(max_size=30).map(lambda content: content.replace(b"\0", b"-"))


@given(no_zeros, no_zeros)
def test_file_hash_depends_on_content_and_on_where_a_file_ends(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("hash")
    a, b, joined, empty = (folder / name for name in ("a", "b", "joined", "empty"))
    a.write_bytes(first)
    b.write_bytes(second)
    joined.write_bytes(first + second)
    empty.write_bytes(b"")
    assert (file_hash(a) == file_hash(b)) == (first == second)
    assert (file_hash(a, b) == file_hash(joined, empty)) == (not second)


def test_unknown_name_offers_the_nearest():
    error = str(unknown_name("reconstructor", "embeded", ["embedded", "sdxl-ip-adapter", "versatile"]))
    assert error == "unknown reconstructor 'embeded'; did you mean 'embedded'?"


def test_unknown_name_lists_what_there_is_when_nothing_is_near():
    error = str(unknown_name("reconstructor", "xyz", ["versatile", "embedded"]))
    assert error == "unknown reconstructor 'xyz'; known: embedded, versatile"
