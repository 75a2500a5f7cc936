"""Sources at addresses of object stores: what of them is here from the start, and what each unit fetches."""

from avf_shards.stores.addresses import has_lazy_extension

from avf_curation.sources.media_names import MEDIA_EXTENSIONS, is_image_name

_RECORDS = frozenset({"rec"})  # pictures of MXNet, read by ranges


def is_read_by_unit(name: str) -> bool:
    """Return whether a file is fetched by the unit that reads it, and not when the source is listed, as tables are."""
    extension = name.rpartition(".")[2].lower()
    return extension in MEDIA_EXTENSIONS or extension in _RECORDS or is_image_name(name) or has_lazy_extension(name)
