"""Shards to a data set of the Hub and back, by the real client and a server on this machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_shards.deletion.requests import deletion_request
from avf_shards.format.manifest import MANIFEST
from support.clips import make_flashing_shards
from support.hub_server import HubServer, RunProgram, program_beside, serve_hub
from support.shard_folders import read_clips
from support.takedowns import delete_clips


@pytest.fixture(name="hub")
def _hub() -> Iterator[HubServer]:
    with serve_hub() as hub:
        yield hub


@pytest.fixture(name="run")
def _run(hub: HubServer, tmp_path: Path) -> RunProgram:
    return program_beside(hub, tmp_path, "avf_shards")


@pytest.fixture(name="shards", scope="module")
def _shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("shards"), {"a": 6}, clips_per_shard=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pulled_is_what_was_pushed_to_the_byte(
    hub: HubServer, run: RunProgram, shards: Path, tmp_path: Path
) -> None:
    pushed = run("push", shards, "org/talk", "--licence", "cc-by-4.0")
    assert pushed.returncode == 0, pushed.stderr
    repository = hub.repositories["org/talk"]
    assert repository.private
    card = repository.commits[-1][1]["README.md"].decode()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "avf-shards pull org/talk" in card
    commit = repository.commits[-1][0]
    assert commit in pushed.stdout
    pulled = run("pull", "org/talk", "--out", tmp_path / "back")
    assert pulled.returncode == 0, pulled.stderr
    assert f"org/talk@{commit}" in pulled.stdout
    assert contents(tmp_path / "back") == contents(shards)
    assert {path.name for path in tmp_path.iterdir()} <= {"back", "hf"}
    again = run("pull", "org/talk", "--out", tmp_path / "back")
    assert (again.returncode, again.stderr.count("exists already")) == (2, 1)


def test_what_a_stopped_push_sent_is_not_sent_again_and_readers_see_no_part_of_it(
    hub: HubServer, run: RunProgram, shards: Path
) -> None:
    hub.refuse_puts_after = 2
    stopped = run("push", shards, "org/talk", "--licence", "other")
    assert stopped.returncode == 2
    assert "org/talk" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert set(hub.repositories["org/talk"].files("main") or ()) == {".gitattributes"}
    sent, hub.refuse_puts_after = list(hub.puts), None
    assert run("push", shards, "org/talk", "--licence", "other").returncode == 0
    assert len(hub.puts) == len(set(hub.puts))
    assert hub.puts[: len(sent)] == sent


def test_a_pinned_commit_gives_the_same_bytes_after_another_push(
    hub: HubServer, run: RunProgram, shards: Path, tmp_path: Path
) -> None:
    work = shutil.copytree(shards, tmp_path / "work")
    assert run("push", work, "org/talk", "--licence", "other").returncode == 0
    repository = hub.repositories["org/talk"]
    before, content = repository.commits[-1][0], contents(work)
    delete_clips(work, deletion_request(listed=[f"key {min(read_clips(work))}"]))
    second = run("push", work, "org/talk", "--licence", "other")
    assert second.returncode == 0, second.stderr
    assert set(repository.files("main") or ()) == {*contents(work), ".gitattributes", "README.md"}
    assert run("pull", f"org/talk@{before}", "--out", tmp_path / "old").returncode == 0
    assert contents(tmp_path / "old") == content
    forgotten = run("push", work, "org/talk", "--licence", "other", "--forget-history")
    assert forgotten.returncode == 0, forgotten.stderr
    gone = run("pull", f"org/talk@{before}", "--out", tmp_path / "gone")
    assert (gone.returncode, "no such revision" in gone.stderr) == (2, True)


@pytest.mark.parametrize(
    "case",
    [("../escape", "leads out of a folder"), ("notes.txt", "foreign"), ("code/run.py", "beside shards")],
)
def test_a_hostile_data_set_writes_nothing(
    hub: HubServer, run: RunProgram, shards: Path, tmp_path: Path, case: tuple[str, str]
) -> None:
    name, fault = case
    assert run("push", shards, "org/talk", "--licence", "other").returncode == 0
    repository = hub.repositories["org/talk"]
    repository.commit({**(repository.files("main") or {}), name: b"x"})
    pulled = run("pull", "org/talk", "--out", tmp_path / "folder" / "back")
    assert pulled.returncode == 2
    assert fault in pulled.stderr, pulled.stderr
    assert not list(tmp_path.rglob("escape"))
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith((".pulling", "back"))]


def test_changed_bytes_are_refused_and_damaged_shards_are_not_pushed(
    hub: HubServer, run: RunProgram, shards: Path, tmp_path: Path
) -> None:
    assert run("push", shards, "org/talk", "--licence", "other").returncode == 0
    repository = hub.repositories["org/talk"]
    files = dict(repository.files("main") or {})
    tar = next(name for name in files if name.endswith(".tar"))
    files[tar] = files[tar][:-600] + b"?" + files[tar][-599:]
    repository.commit(files)
    pulled = run("pull", "org/talk", "--out", tmp_path / "back")
    assert pulled.returncode == 2
    assert tar in pulled.stderr
    assert not (tmp_path / "back").exists()
    damaged = shutil.copytree(shards, tmp_path / "damaged")
    (damaged / tar).write_bytes(files[tar])
    refused = run("push", damaged, "org/other", "--licence", "other")
    assert (refused.returncode, "cannot push damaged shards" in refused.stderr) == (2, True)
    assert "org/other" not in hub.repositories


def test_a_users_mistakes_are_sentences(hub: HubServer, run: RunProgram, shards: Path, tmp_path: Path) -> None:
    for words, sentence in (
        (("pull", "org/none", "--out", tmp_path / "x"), "there is no such dataset"),
        (("pull", "nobody", "--out", tmp_path / "x"), "organization/name"),
        (("push", shards, "org/x"), "--licence"),
        (("push", shards, "org/x", "--licence", "CC BY"), "cc-by-4.0"),
        (("push", tmp_path, "org/x", "--licence", "mit"), MANIFEST),
    ):
        ended = run(*words)
        assert ended.returncode == 2
        assert sentence in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr
    offline = run("pull", "org/none", "--out", tmp_path / "x", HF_HUB_OFFLINE="1")
    assert (offline.returncode, "HF_HUB_OFFLINE" in offline.stderr) == (2, True), offline.stderr
    nobody = run("pull", "org/none", "--out", tmp_path / "x", HF_ENDPOINT="http://127.0.0.1:9")
    assert (nobody.returncode, "cannot be reached" in nobody.stderr) == (2, True), nobody.stderr
    assert not (tmp_path / "x").exists()
