"""Files of the demo corpus for tests: each is drawn when a test first asks for it, once for all test processes."""

import os
from pathlib import Path

from avf_curation.demo.corpus import demo_videos, encode_demo_video


class DemoFiles:
    """The files of the demo corpus that tests have asked for."""

    def __init__(self, folder: Path) -> None:
        """Draw nothing yet.

        Args:
            folder: where files are drawn; test processes that name the same folder share its files.
        """
        self.folder = folder
        self._videos = {video.path: video for video in demo_videos()}

    def draw(self, name: str) -> Path:
        """Return the file `name` of the corpus, such as `studio/talk_0.mp4`; draw it where that is still to be done."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Two processes may draw the same file at once; each publishes a complete one.
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(encode_demo_video(self._videos[name]))
            os.replace(temporary, path)
        return path
