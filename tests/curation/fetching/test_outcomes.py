"""What the messages of the site mean, and the archive that a kill has torn."""

from pathlib import Path

import pytest
from avf_curation.fetching.archive import Archive
from avf_curation.fetching.outcomes import FetchOutcome, classify_message
from avf_shards.errors import UserError


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("\x1b[0;31mERROR:\x1b[0m [youtube] x: Video unavailable", "removed"),
        ("ERROR: [youtube] x: Video unavailable. This video has been removed by the uploader", "removed"),
        ("Video unavailable. This video is no longer available because the account has been terminated", "removed"),
        ("[generic] Unable to download webpage: HTTP Error 404: Not Found (caused by ...)", "removed"),
        ("[youtube] x: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] x: Join this channel to get access to members-only content like this video", "private"),
        ("The uploader has not made this video available in your country", "geo-blocked"),
        ("Video unavailable. This video is not available in your country", "geo-blocked"),
        ("Sign in to confirm your age. This video may be inappropriate for some users", "age-gated"),
        ("Sign in to confirm you’re not a bot. Use --cookies-from-browser", "refused"),
        ("HTTP Error 429: Too Many Requests", "refused"),
        ("unable to download video data: HTTP Error 403: Forbidden", "network"),
        ("Unable to download webpage: <urlopen error [Errno -3] Temporary failure in name resolution>", "network"),
        ("The read operation timed out", "network"),
        ("Remote end closed connection without response", "network"),
        ("HTTP Error 503: Service Unavailable", "network"),
        ("ffmpeg exited with code 8", "network"),
        ("Unsupported URL: http://x", "unusable"),
        ("Requested format is not available. Use --list-formats", "unusable"),
        ("words that nobody knows", "unusable"),
    ],
)
def test_messages(message: str, kind: str) -> None:
    outcome = classify_message(message)
    assert outcome.kind == kind
    assert "\x1b" not in outcome.reason
    assert not outcome.reason.startswith("ERROR")


def test_an_archive_that_is_cut_at_any_byte_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "archive.tsv"
    archive = Archive(path)
    archive.add("a.mp4", FetchOutcome(kind="fetched"))
    archive.add("b.mp4", FetchOutcome(kind="removed", reason="gone\tfor \x1b[1m good\n"))
    content = path.read_bytes()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        before = Archive(path)
        assert before.outcomes.keys() <= {"a.mp4", "b.mp4"}
        assert len(before.outcomes) >= content[:size].count(b"\n") - 1, "each line that is complete"
        before.add("c.mp4", FetchOutcome(kind="private"))
        after = Archive(path).outcomes
        assert after == before.outcomes
        assert after["c.mp4"] == FetchOutcome(kind="private")
    assert Archive(path).outcomes["b.mp4"].reason == "gone for \\x1b[1m good"


def test_the_newest_line_counts_and_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.tsv"
    for kind in ("network", "fetched"):
        Archive(path).add("a.mp4", FetchOutcome(kind=kind))  # type: ignore[arg-type]  # two of the kinds
    assert Archive(path).outcomes == {"a.mp4": FetchOutcome(kind="fetched")}
    for content in ("my notes\n", "# avf-curate fetch, archive 2\n"):
        path.write_text(content)
        with pytest.raises(UserError, match="is no archive of this version"):
            Archive(path)
        assert path.read_text() == content
