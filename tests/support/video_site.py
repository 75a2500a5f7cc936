"""A web site of this machine that serves videos by their id, and faults by the status that an id stands for."""

import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class VideoSite:
    """Serves ids of `videos` under /v/ID.mp4; another id has the status of `statuses`, or 404."""

    videos: dict[str, Path] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # ids of all requests, in their order
    stalls: set[str] = field(default_factory=set)  # ids of which half is sent, and then nothing until the end
    stalled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    template: str = ""

    def times_asked(self, video_id: str) -> int:
        return self.asked.count(video_id)


@contextmanager
def video_site(site: VideoSite) -> Iterator[VideoSite]:
    """Run the site; its template has the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            video_id = urllib.parse.unquote(self.path).removeprefix("/v/").removesuffix(".mp4")
            site.asked.append(video_id)
            if video_id not in site.videos:
                self.send_error(site.statuses.get(video_id, 404))
                return
            data = site.videos[video_id].read_bytes()
            first, last = self._range(len(data))
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last + 1 - first))
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.end_headers()
            if not with_body:
                return
            if video_id in site.stalls and last - first > len(data) // 2:
                self.wfile.write(data[first : len(data) // 2])
                self.wfile.flush()
                site.stalled.set()
                site.done.wait(60)
                return
            self.wfile.write(data[first : last + 1])

        def _range(self, size: int) -> tuple[int, int]:
            text = self.headers.get("Range", "").removeprefix("bytes=")
            first, _, last = text.partition("-")
            return int(first or 0), min(int(last or size - 1), size - 1)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *words: None  # type: ignore[method-assign]  # ffmpeg closes when it has enough
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.template = f"http://127.0.0.1:{server.server_address[1]}/v/{{id}}.mp4"
    try:
        yield site
    finally:
        site.done.set()
        server.shutdown()
        server.server_close()
