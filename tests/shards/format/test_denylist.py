"""A denylist forbids by video, speaker, span and content, merges as a set, and is refused where it is damaged."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from avf_shards.deletion.requests import deletion_request, read_deny_files
from avf_shards.errors import FaultError, UserError
from avf_shards.format.denied_inputs import content_denials
from avf_shards.format.denylist import Denylist, add_to_denylist, deny_content, deny_video, read_denylist
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.timeline import Span

SHA256 = "ab" * 32


def make_denylist(*lines: str) -> Denylist:
    return deletion_request(listed=lines).denylist("on request")


def is_denied(denylist: Denylist, video: str, span: Span | None, speaker: str | None = None) -> bool:
    return any(True for _ in denylist.match_input("s", video, speaker=speaker, sha256=[SHA256], span=span))


def test_a_video_and_a_speaker_are_denied_as_a_whole() -> None:
    denylist = make_denylist("video s/a.mp4", "speaker s/Ann")
    assert is_denied(denylist, "a.mp4", None)
    assert is_denied(denylist, "b.mp4", None, "Ann")
    assert is_denied(denylist, "b.mp4", Span(0, 0), "Ann")
    assert not is_denied(denylist, "b.mp4", None, "Bob")
    assert denylist.denies_key(make_clip_key("s", "a.mp4", Span(0, 50), 0))
    assert not denylist.denies_key(make_clip_key("t", "a.mp4", Span(0, 50), 0))


@pytest.mark.parametrize(
    ("span", "denied"),
    [(Span(50, 80), True), (Span(0, 51), True), (Span(79, 99), True), (Span(0, 50), False), (Span(80, 90), False)],
)
def test_a_key_denies_whatever_overlaps_its_span(span: Span, denied: bool) -> None:
    key = make_clip_key("s", "a.mp4", Span(50, 80), 1)
    assert is_denied(make_denylist(f"key {key}"), "a.mp4", span) == denied
    assert make_denylist(f"key {key}").denies_key(make_clip_key("s", "a.mp4", span, 0)) == denied
    assert is_denied(Denylist(denials=(deny_content(SHA256, "", "", Span(50, 80)),)), "any.mp4", span) == denied
    assert not is_denied(make_denylist(f"key {key}"), "a.mp4", None)


def test_older_keys_with_a_shorter_hash_name_the_same_video() -> None:
    key = make_clip_key("s", "a.mp4", Span(0, 50), 0)
    digest = key.split("-")[1]
    older = key.replace(digest, digest[:12])
    for denylist in (make_denylist("video s/a.mp4"), make_denylist(f"key {older}"), make_denylist(f"key {key}")):
        assert denylist.denies_key(key)
        assert denylist.denies_key(older)
        assert is_denied(denylist, "a.mp4", Span(0, 50))
    other = key.replace(digest[12:], digest[:12][::-1] + digest[:8])
    assert not make_denylist(f"key {key}").denies_key(other), "the first digits alone are another video's"


def test_merging_is_a_union_and_a_repeated_takedown_adds_no_file(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "run", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    first, second = make_denylist("video s/a.mp4"), make_denylist("video s/b.mp4", f"sha256 {SHA256}")
    add_to_denylist(folder, first, temporary)
    assert add_to_denylist(folder, first | second, temporary) == first | second
    files = sorted(folder.iterdir())
    assert len(files) == 2
    later = deletion_request(["s/a.mp4"]).denylist("for another reason")
    assert add_to_denylist(folder, later, temporary).digest() == (first | second).digest()
    assert sorted(folder.iterdir()) == files
    assert set(read_denylist(folder).denials) == set((first | second).denials)
    assert read_denylist(folder).denials[0].reason == "on request"
    text = b"".join(path.read_bytes() for path in files)
    assert b"a.mp4" not in text, "it holds no name"


def test_a_damaged_denylist_is_refused_and_never_empty(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    add_to_denylist(tmp_path, make_denylist("video s/a.mp4", "speaker s/Ann"), tmp_path / "tmp")
    (path,) = tmp_path.glob("denylist-*")
    good = path.read_bytes()
    for data in (b"", b"{}", good[:-2], good.replace(b"Ann", b"Bob"), good[:60] + bytes([good[60] ^ 1]) + good[61:]):
        if data != good:
            path.write_bytes(data)
            with pytest.raises((FaultError, UserError), match="denylist-"):
                read_denylist(tmp_path)
    path.unlink()
    (tmp_path / "denylist-0000000000000000.json").write_bytes(good)
    with pytest.raises(FaultError, match="damaged"):
        read_denylist(tmp_path)


def test_deny_takes_lists_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    listed = tmp_path / "list.txt"
    listed.write_text("# a letter\nvideo s/a.mp4\n")
    add_to_denylist(tmp_path, make_denylist("video s/b.mp4"), tmp_path / "tmp")
    (part,) = tmp_path.glob("denylist-*")
    for paths in ([listed, part], [listed, tmp_path]):
        denylist = read_deny_files(paths)
        assert is_denied(denylist, "a.mp4", None)
        assert is_denied(denylist, "b.mp4", None)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for path, says in (
        (tmp_path / "empty.txt", "names nothing; write a line"),
        (tmp_path / "tmp", "holds no denylist"),
        (tmp_path / "nosuch", "cannot be read"),
    ):
        with pytest.raises(UserError, match=f"--deny {path}: .*{says}"):
            read_deny_files([path])
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(FaultError, match="not readable"):
        read_deny_files([part])


def test_broken_downloads_are_no_copies_of_each_other() -> None:
    empty, page, film = hashlib.sha256(b"").hexdigest(), "1" * 64, "2" * 64
    rows = [
        {"source": "a", "video_id": name, "speaker": None, "input_sha256": sha256, "start_frame": 0, "stop_frame": 9}
        | {"status": status}
        for name, sha256, status in (("x", empty, "rejected"), ("y", page, "failed"), ("z", film, "kept"))
    ]
    table = pa.Table.from_pylist(rows)
    denylist = Denylist(denials=tuple(deny_video("a", name, "2026-03-01", "") for name in "xyz"))
    assert [denial.digest for denial in content_denials(table, denylist).denials] == [film]
