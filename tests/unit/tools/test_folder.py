import os
from pathlib import Path

import pytest

from pentad_tools.builtin.folder import NoSuchFile, OutsideFolder, names_inside, open_inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.csv").write_text("secret")
    inside = tmp_path / "data"
    (inside / "sub").mkdir(parents=True)
    (inside / "a.csv").write_text("a")
    (inside / "sub" / "b.csv").write_text("b")
    (inside / "out.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "up").symlink_to(tmp_path)
    (inside / "in.csv").symlink_to("sub/b.csv")
    (inside / "loop.csv").symlink_to("loop.csv")
    (inside / "gone.csv").symlink_to("nowhere.csv")
    (inside / "folder.csv").mkdir()
    os.mkfifo(inside / "pipe.csv")
    return inside


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b"a"), ("sub/b.csv", b"b"), ("./a.csv", b"a"), ("in.csv", b"b")],
)
def test_files_inside_can_be_read(folder: Path, name: str, content: bytes) -> None:
    with open_inside(folder, name) as file:
        assert file.read() == content


@pytest.mark.parametrize(
    "name",
    ["../secret.csv", "/etc/passwd", "sub/../a.csv", "out.csv", "up/secret.csv", "a\0.csv", ".."],
)
def test_no_name_leads_out(folder: Path, name: str) -> None:
    with pytest.raises(OutsideFolder):
        open_inside(folder, name)


@pytest.mark.parametrize(
    "name",
    ["none.csv", "folder.csv", "pipe.csv", "loop.csv", "gone.csv", "a.csv/x", "", ".", "x" * 300],
)
def test_what_is_no_regular_file_is_not_there(folder: Path, name: str) -> None:
    with pytest.raises(NoSuchFile):
        open_inside(folder, name)


def test_a_folder_that_is_a_link_itself_may_be_configured(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    with open_inside(tmp_path / "link", "a.csv") as file:
        assert file.read() == b"a"


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile):
        open_inside(tmp_path / "none", "a.csv")
    assert names_inside(tmp_path / "none", "*.csv") == []


def test_names_are_listed_up_to_a_bound(folder: Path) -> None:
    assert "sub/b.csv" in names_inside(folder, "*.csv")
    for number in range(30):
        (folder / f"x{number}.csv").touch()
    assert len(names_inside(folder, "*.csv")) == 20
