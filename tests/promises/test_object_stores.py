"""Promise: sources, runs and shards at addresses of an object store behave as folders do, by the same commands.

The real client works against an S3 server of this machine, which can be told to fail.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from avf_shards.stores.addresses import MIRRORS, mirrored_folder
from avf_shards.stores.fsspec_store import FsspecStore
from avf_shards.stores.stored_folder import StoredFolder
from support.demo_files import DemoFiles
from support.range_server import serve_ranges
from support.ray_runs import QUICK_SETTINGS, copy_demo_videos
from support.runs import make_inputs
from support.store_server import StoreFaults, StoreServer, client_of
from support.stored_jobs import job_in_process, without_models
from support.trees import file_digests, result_digests

pytestmark = pytest.mark.usefixtures("store_client")


@pytest.fixture(scope="module")
def videos(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_demo_videos(corpus, tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def local(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its shards on the disk."""
    folder = tmp_path_factory.mktemp("local")
    command(*curate_words(str(videos), str(folder / "run")), mirrors=folder / "mirrors")
    command("avf-shards", "pack", str(folder / "run"), "--out", str(folder / "shards"), mirrors=folder / "mirrors")
    return folder


@pytest.fixture(scope="module")
def stored(store_server: StoreServer, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of videos, their run and its shards, made by a machine of their own."""
    address, machine = "s3://bucket/stored", tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for _ in client_of(store_server, machine, monkeypatch):
            upload(videos, f"{address}/videos")
            store_server.take_requests()
            command(*curate_words(f"{address}/videos", f"{address}/run"))
            lines = store_server.take_request_lines()
            reads = [line for line in lines if line.startswith("GET") and "/stored/videos/" in line]
            assert len(reads) == len(set(reads)) == len(list(videos.iterdir())), "a unit reads its inputs once"
            mirror = mirrored_folder(f"{address}/videos").folder
            assert sum(path.stat().st_blocks for path in mirror.iterdir()) == 0, "and gives them up"
            command("avf-shards", "pack", f"{address}/run", "--out", f"{address}/shards")
    return address


def curate_words(source: str, out: str, *more: str) -> list[str]:
    settings = [word for setting in QUICK_SETTINGS for word in ("--set", setting)]
    return ["avf-curate", "run", "--source", f"s={source}", "--out", out, *settings, *(more or ("--engine", "inline"))]


def command(program: str, *words: str, status: int = 0, mirrors: Path | None = None) -> str:
    """Run a command and return what it printed, both streams."""
    module = {"avf-curate": "avf_curation.cli.main", "avf-shards": "avf_shards.cli.main"}[program]
    environment = os.environ | ({MIRRORS: str(mirrors)} if mirrors else {})
    done = subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert str(environment[MIRRORS]) not in done.stdout + done.stderr, "a message names the mirror, not the address"
    return done.stdout + done.stderr


def upload(folder: Path, address: str) -> None:
    store = FsspecStore(address)
    for path in folder.iterdir():
        store.write_from_file(path.name, path)


def download(address: str, folder: Path) -> Path:
    """Write the objects of an address to a folder, without a mirror."""
    store = FsspecStore(address)
    for item in store.find():
        path = folder / item.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(item.key) or b"")
    return folder


def stored_contents(address: str) -> list[bytes]:
    """Return the content of each object, and of each file that lies in one."""
    store = FsspecStore(address)
    contents = [store.read(item.key) or b"" for item in store.find()]
    folders = [StoredFolder.from_json(data, "here") for data in contents if b'"inside"' in data]
    return contents + [data for folder in folders for data in folder.inside.values()]


def mirror_digests(address: str, folder: Path) -> dict[str, str]:
    """Return the digests of a run as a machine reads it that knows nothing of it."""
    command("avf-curate", "verify", address, mirrors=folder)  # opens each file
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(MIRRORS, str(folder))
        return result_digests(mirrored_folder(address).folder)


def test_sources_run_and_shards_in_a_store_have_the_bytes_of_folders(stored: str, local: Path, tmp_path: Path) -> None:
    assert mirror_digests(f"{stored}/run", tmp_path / "reader") == result_digests(local / "run")
    shards = download(f"{stored}/shards", tmp_path / "shards")
    assert file_digests(shards) == file_digests(local / "shards"), "other programs find shards under their names"


@pytest.mark.slow
def test_other_machines_ask_by_the_same_commands(stored: str, local: Path) -> None:
    run, shards = f"{stored}/run", f"{stored}/shards"
    assert f"wrote {stored}/audit.html" in command("avf-curate", "audit", run, "--html", f"{stored}/audit.html")
    page = FsspecStore(stored).read("audit.html") or b""
    assert b"data:image/" in page, "pictures of spans that were rejected come from the source"
    assert "talk_0" in command("avf-curate", "explain", run, "talk_0.mp4")
    assert f"{run} and {run}: the same run" in command("avf-curate", "audit", run, run, status=2)
    assert f"{run}: nothing was decided" in command("avf-curate", "audit", f"{run}@2100-01-01", run, status=2)
    assert "can only be compared with a second run" in command("avf-curate", "audit", f"{run}@2100-01-01", status=2)
    recipe = command("avf-curate", "recipe", "show", "--recipe", f"{stored}/no.yaml", status=2)
    assert f"{stored}/no.yaml: cannot be read (No such file" in recipe
    assert command("avf-shards", "ls", shards) == command("avf-shards", "ls", str(local / "shards"))
    keys = command("avf-shards", "ls", shards, "--keys").split()
    assert json.loads(command("avf-shards", "show", shards, keys[0]))["key"] == keys[0]
    assert "every byte is as packed" in command("avf-shards", "verify", shards)
    order = command("avf-shards", "order", shards, "--digest")
    assert order == command("avf-shards", "order", str(local / "shards"), "--digest")


def test_a_deletion_reaches_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_models(monkeypatch)
    address = "s3://bucket/deleted"
    assert job_in_process(make_inputs(tmp_path / "inputs", 2), address, tmp_path / "writer") == 0
    shards, run = f"{address}/shards", f"{address}/run"
    keys = command("avf-shards", "ls", shards, "--keys").split()
    record = json.loads(command("avf-shards", "show", shards, keys[0], "--extract", str(tmp_path / "clip")))
    media = (tmp_path / "clip" / f"{keys[0]}.mp4").read_bytes()
    assert sum(media in content for content in stored_contents(address)) == 2, "a part of the run and a shard"
    video = f"{record['source']}/{record['video_id']}"
    command("avf-shards", "delete", shards, "--video", video, "--run", run, mirrors=tmp_path / "other")
    assert not any(media in content for content in stored_contents(address))
    third = tmp_path / "third"
    assert "as packed" in command("avf-shards", "verify", shards, mirrors=third)
    assert keys[0] not in command("avf-shards", "ls", shards, "--keys", mirrors=third)
    command("avf-curate", "verify", run, mirrors=third)


@pytest.mark.slow
def test_workers_of_ray_commit_to_the_store(videos: Path, local: Path, tmp_path: Path) -> None:
    upload(videos, "s3://bucket/ray/videos")
    command(*curate_words("s3://bucket/ray/videos", "s3://bucket/ray/run", "--workers", "2"))
    assert mirror_digests("s3://bucket/ray/run", tmp_path / "reader") == result_digests(local / "run")


@pytest.mark.slow
def test_an_input_that_changes_in_the_store_is_named(videos: Path) -> None:
    address = "s3://bucket/changed"
    upload(videos, f"{address}/videos")
    plan = curate_words(f"{address}/videos", f"{address}/run", "--quiet")[2:]
    command("avf-curate", "plan", *plan)
    FsspecStore(f"{address}/videos").write("talk_0.mp4", b"other bytes")
    command(*curate_words(f"{address}/videos", f"{address}/run"))
    assert "input_changed" in command("avf-curate", "explain", f"{address}/run", "talk_0.mp4")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["avf-curate", "audit", "s3://bucket/nowhere/run"], "not the folder of a run"),
        (["avf-curate", "audit", "s3://"], "name a bucket and a folder"),
        (["avf-curate", "audit", "s3://bucket/../run"], "name a bucket and a folder"),
        (["avf-curate", "audit", "ftp://bucket/run"], "an address that this program cannot write to"),
        (["avf-shards", "ls", "s3://bucket/nowhere/shards"], "manifest.json"),
        (["avf-curate", "run", "--source", "a=ftp://host/x", "--out", "RUN"], "is an address of no kind"),
        (["avf-curate", "run", "--source", "a=s3://bucket/nowhere", "--out", "RUN"], "no object lies below"),
    ],
)
def test_an_address_that_names_nothing_is_refused(words: list[str], sentence: str, tmp_path: Path) -> None:
    words = [str(tmp_path / "RUN") if word == "RUN" else word for word in words]
    assert sentence in command(*words, status=2)


def test_nobody_without_credentials_waits_for_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    message = command("avf-curate", "audit", "s3://bucket/run", status=2)
    assert "look at the credentials" in message
    assert "try 1 of" not in message


def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "inputs", 1)
    message = command(*curate_words(str(source), "s3://no-such-bucket/run"), status=2)
    assert "no-such-bucket" in message
    assert "make the bucket first" in message


def test_a_store_without_conditional_writes_is_refused_before_anything_is_written(
    store_server: StoreServer, videos: Path, tmp_path: Path
) -> None:
    sources, runs = "s3://bucket/unconditional/videos", "s3://bucket/unconditional"
    upload(videos, sources)
    store_server.set_faults(StoreFaults(passes_over_conditions=True))
    refusal = command(*curate_words(sources, f"{runs}/run"), status=2)
    assert f"{runs}/run: this store writes over an object that was only to be made" in refusal
    assert [item.key for item in FsspecStore(runs).find() if not item.key.startswith("videos/")] == []
    store_server.set_faults(StoreFaults())
    command(*curate_words(sources, f"{runs}/run"))


@pytest.mark.parametrize("names_no_condition", [False, True])
def test_an_object_is_created_once_whatever_the_refusal_says(
    names_no_condition: bool, store_server: StoreServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    store_server.set_faults(StoreFaults(names_no_condition=names_no_condition))
    store, key = FsspecStore("s3://bucket/once"), f"object-{names_no_condition}"
    (tmp_path / "file").write_bytes(b"third")
    created = [
        store.create(key, b"first"),
        store.create(key, b"second"),
        store.create_from_file(key, tmp_path / "file"),
    ]
    assert created == [True, False, False]
    assert store.read(key) == b"first"
    assert not caplog.messages, "the answer is no failure of the network"


def test_shards_on_a_web_server_are_read_and_never_written_to(local: Path) -> None:
    with serve_ranges(local) as web:
        address = f"{web.address}/shards"
        assert command("avf-shards", "ls", address) == command("avf-shards", "ls", str(local / "shards"))
        assert f"{address}: every byte is as packed" in command("avf-shards", "verify", address)
        assert "can only be read" in command("avf-shards", "pack", str(local / "run"), "--out", address, status=2)
        refused = command("avf-shards", "delete", address, "--video", "s/talk_0.mp4", status=2)
        assert "can only be read" in refused
        assert "has no manifest.json" in command("avf-shards", "ls", f"{web.address}/nowhere", status=2)


def test_a_file_of_somebody_at_an_address_is_not_written_over(tmp_path: Path) -> None:
    """The file is not here when the command starts: the store is asked for it."""
    store = FsspecStore("s3://bucket/mine")
    for name in ("list.json", "table.csv"):
        store.write(name, b"my own")
    answer = ["avf-curate", "sources", "ls", "--json"]
    assert "s3://bucket/mine/list.json" in command(*answer, "s3://bucket/mine/list.json", status=2)
    assert store.read("list.json") == b"my own"
    for _ in range(2):  # one of its own is
        command(*answer, "s3://bucket/mine/answer.json")
    assert store.read("answer.json")
    store.write("table.csv", b"newer")
    command(*answer, "s3://bucket/mine/answer.json")
    assert store.read("table.csv") == b"newer"
    command("avf-curate", "status", "s3://bucket", status=2)  # reads all that lies there
    command(*answer, "s3://bucket/answer.json")
    assert store.read("list.json") == b"my own"


@pytest.mark.slow
def test_an_address_in_another_is_apart_from_it(tmp_path: Path) -> None:
    source = "s3://bucket/apart"
    upload(make_inputs(tmp_path / "inputs", 1), source)
    for out in (f"{source}/run", source, f"{source}/".replace("s3", "S3")):
        refused = command("avf-curate", "plan", *curate_words(source, out, "--quiet")[2:], status=2)
        assert "inputs are never written to" in refused
    command("avf-curate", "plan", *curate_words(source, "s3://bucket/apart-run", "--quiet")[2:])
    before = [item.key for item in FsspecStore("s3://bucket").find()]
    above = curate_words(source, "s3://bucket", "--quiet")[2:]  # forgotten: the name of the run
    assert "not empty and not a run" in command("avf-curate", "plan", *above, status=2)
    assert [item.key for item in FsspecStore("s3://bucket").find()] == before
