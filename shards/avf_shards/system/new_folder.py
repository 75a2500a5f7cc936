"""A folder that appears with all its files at once, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system import durable_io


@contextmanager
def write_new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which gets the name `out` at the end of the block.

    After an exception nothing stays. Raises UserError where `out` exists.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder")
    durable_io.make_folder(out.parent)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=out.parent) as name:
        temporary = Path(name, "new")
        durable_io.make_folder(temporary)
        yield temporary
        try:
            durable_io.publish_folder(temporary, out)
        except durable_io.AlreadyExistsError:
            raise UserError(f"{out}: is there already; name a new folder") from None
