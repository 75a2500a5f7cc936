"""Contents that no committed folder names are found when they are old, and no other."""

from pathlib import Path

from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.object_names import is_part
from avf_shards.stores.orphans import find_orphans, remove_orphan
from avf_shards.system.temporary_folder import MARKER
from support.faulty_store import SharedObjects, SteppedStore

OLD, YOUNG = f"units/0001/parts/{'a' * 64}", f"units/0001/parts/{'b' * 64}"


def test_only_old_contents_that_nobody_names_are_orphans(tmp_path: Path) -> None:
    objects = SharedObjects()
    store = SteppedStore(objects)
    store.is_free = True
    mirror = StoreMirror(store, tmp_path / "run")
    mirror.pull()
    objects.put(OLD, b"of a process that died")
    temporary = tmp_path / "run/tmp/unit"
    temporary.mkdir(parents=True)
    (temporary.parent / MARKER).touch()
    (temporary / "clips.tar").write_bytes(bytes(200_000))
    mirror.publish_folder(temporary, tmp_path / "run/units/0000")
    objects.put(YOUNG, b"of a process that is about to name it")
    objects.renew_listing()
    assert find_orphans(mirror, min_age_s=3) == {OLD: 22}  # each write of this store is a second later
    remove_orphan(mirror, OLD)
    objects.renew_listing()
    assert find_orphans(mirror, min_age_s=3) == {}
    assert sum(is_part(key) for key in objects.contents) == 2
