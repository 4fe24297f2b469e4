from __future__ import annotations

import io

import numpy as np
import pytest
from pictures.make import CAPTIONS, COLOURS, RED, make_pictures
from PIL import Image

from braindecode_x.stimuli import FolderStimuli


@pytest.fixture
def folder(tmp_path):
    return make_pictures(tmp_path / "mine")


def picture(path, size=(8, 8), colour="red", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_finds_every_picture_under_its_path_without_extension(folder):
    stimuli = FolderStimuli(folder)
    assert sorted(stimuli.ids) == sorted(COLOURS)
    assert stimuli.name == "mine"


@pytest.mark.parametrize("stimulus", COLOURS)
def test_every_mode_becomes_rgb_with_its_colours(folder, stimulus):
    pixels = FolderStimuli(folder).pixels(16, [stimulus])
    assert pixels.shape == (1, 3, 16, 16)
    np.testing.assert_allclose(pixels[0, :, 8, 8], COLOURS[stimulus], atol=8)


def test_centre_square_is_taken(folder):
    corner = FolderStimuli(folder).pixels(16, ["wide"])[0, :, 0, 0]
    np.testing.assert_allclose(corner, RED, atol=8)


def test_picture_is_turned_as_its_camera_says(tmp_path):
    image = Image.new("RGB", (16, 16), "white")
    image.paste("black", (0, 0, 16, 8))
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise: the top comes to the right
    image.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    pixels = FolderStimuli(tmp_path).pixels(16)[0].float().mean(0)
    assert pixels[:, 12].max() < 50
    assert pixels[:, 3].min() > 200


def test_captions_are_matched_by_id_and_empty_where_there_is_none(folder):
    captions = FolderStimuli(folder).table["caption"].to_dict()
    assert captions == {stimulus: CAPTIONS.get(stimulus, "") for stimulus in COLOURS}


def test_caption_file_elsewhere_may_bring_columns(tmp_path):
    picture(tmp_path / "pictures" / "a.png")
    picture(tmp_path / "pictures" / "b.png")
    table = tmp_path / "table.csv"
    table.write_text("id,caption,split\nb,NA,test\na,first,train\n")
    stimuli = FolderStimuli(tmp_path / "pictures", captions=table)
    assert stimuli.captions == ["first", "NA"]
    assert stimuli.subset(split="test").ids == ["b"]


def test_content_key_notices_picture_and_caption(tmp_path):
    picture(tmp_path / "a.png")
    keys = {FolderStimuli(tmp_path).content_key("a")}
    (tmp_path / "captions.csv").write_text("id,caption\na,red\n")
    keys.add(FolderStimuli(tmp_path).content_key("a"))
    picture(tmp_path / "a.png", colour="blue")
    keys.add(FolderStimuli(tmp_path).content_key("a"))
    assert len(keys) == 3


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        FolderStimuli(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no picture.*\.png"):
        FolderStimuli(tmp_path)


def test_file_that_is_no_picture_by_its_ending(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "notes.docx").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.docx: not a picture.*expected one of"):
        FolderStimuli(tmp_path)


def test_two_pictures_with_one_id(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"id 'a' is not unique.*a\.jpg.*a\.png"):
        FolderStimuli(tmp_path)


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    picture(tmp_path / ".a.png")
    picture(tmp_path / ".checkpoints" / "a.png")
    picture(tmp_path / "a.png")
    assert FolderStimuli(tmp_path).ids == ["a"]


def test_link_to_nothing_is_not_passed_over(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "not-fetched" / "b.png")
    with pytest.raises(ValueError, match=r"b\.png: .*link"):
        FolderStimuli(tmp_path)


def encoded(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.6, 0.95])
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_truncated_picture_is_named(tmp_path, kind, kept):
    data = encoded(kind)
    (tmp_path / f"cut.{kind.lower()}").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ValueError, match=rf"cut\.{kind.lower()}: not a readable picture"):
        FolderStimuli(tmp_path).image("cut")


def test_text_with_the_ending_of_a_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("this is not a picture")
    with pytest.raises(ValueError, match=r"a\.png: not a readable picture"):
        FolderStimuli(tmp_path).pixels(8)


def test_unreadable_picture_is_named(tmp_path):
    path = picture(tmp_path / "a.png")
    stimuli = FolderStimuli(tmp_path)
    path.unlink()
    path.mkdir()  # what cannot be read, even by the superuser
    with pytest.raises(ValueError, match=r"a\.png: not a readable picture"):
        stimuli.image("a")


def test_depth_without_a_known_range_is_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a\.tiff: .*8 or 16 bits"):
        FolderStimuli(tmp_path).image("a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,caption\na,red\n", r"captions\.csv: needs the columns id and caption; missing \['id'\]"),
        ("id,caption\na,red\na,blue\n", r"captions\.csv: ids must be unique; repeated: \['a'\]"),
        ("id,caption\nb,red\n", r"captions\.csv: ids without a picture: \['b'\]"),
    ],
)
def test_captions_that_do_not_fit(tmp_path, content, message):
    picture(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        FolderStimuli(tmp_path)


def test_missing_caption_file(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"captions\.txt: no such caption file"):
        FolderStimuli(tmp_path, captions=tmp_path / "captions.txt")
