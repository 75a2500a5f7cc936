"""Which files of a plain folder are inputs: by extension, and where that says nothing, by the first bytes.

Nothing is decoded. A file with the extension of video or audio is an input whatever it holds, so that a damaged one
ends as failed and is counted. Any other file is an input only if its first bytes are those of a container or a stream
that FFmpeg would open; the list of extensions below says how a file that is none is described.
"""

import os
import re
from pathlib import Path

from avf_shards.system.storage_faults import open_plain, raise_machine_fault

_MEDIA = """
    mp4 m4v mov qt m4a 3gp 3gpp 3g2 mj2 f4v mkv mk3d mka webm avi divx mpg mpeg mpe m1v m2v mp2 mpv vob ts m2ts mts m2t
    trp flv wmv wma asf ogv ogg oga ogm opus rm rmvb wav w64 flac mp3 aac h264 264 avc h265 265 hevc dv dif nut mxf ivf
    y4m aif aiff aifc caf au snd amr ac3 eac3 ec3 dts obu av1 vc1 gif
"""
#: Extensions of the formats that avf_curation.media.container opens. Sound without a picture is an input too, which is
#: rejected as incomplete.
MEDIA_EXTENSIONS = frozenset(_MEDIA.split())

AN_IMAGE = "an image"
_OTHER_KINDS = {
    "subtitles": "srt vtt ass ssa sub idx sbv smi ttml dfxp lrc textgrid eaf",
    AN_IMAGE: "jpg jpeg png bmp webp tif tiff heic heif avif ico svg psd raw cr2 nef dng exr",
    "text or a document": "txt md rst pdf doc docx odt rtf tex html htm nfo log pptx",
    "a table or metadata": "csv tsv json jsonl xml yaml yml toml xlsx xls ods parquet npy npz mat pkl h5 db sqlite ini",
    "an archive": "zip tar tgz gz bz2 xz zst rar 7z iso",
    "a playlist": "m3u m3u8 pls cue mpd edl",
    "an unfinished download": "part crdownload download ytdl aria2 partial",
    "code": "py ipynb sh bat m r cpp c h js css",
    "a checksum": "md5 sha1 sha256 sfv",
}
_KIND_OF_EXTENSION = {extension: kind for kind, names in _OTHER_KINDS.items() for extension in names.split()}

_SNIFFED_BYTES = 2 * 192 + 5  # three packets of a transport stream with time codes
_IMAGE_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jp2 ", b"jpx ")
_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"sidx", b"wide", b"free", b"skip", b"pnot")
_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: wmv, wma
    b"OggS",
    b"fLaC",
    b"ID3",  # mp3, aac
    b".RMF",
    b"nut/multimedia container\0",
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"DKIF",  # ivf
    b"YUV4MPEG2",
    b"caff",
    b".snd",
    b"#!AMR",
    b"\x0bw",  # ac3, eac3
    b"\x7f\xfe\x80\x01",  # dts
    b"riff.\x91\xcf\x11",  # w64
    b"GIF8",
    b"\x1f\x07\0",  # dv
    b"\x12\0\x0a",  # AV1 as open bitstream units
)
#: MPEG program and elementary streams, MPEG-4 part 2, VC-1; H.264 and H.265 with start codes; MPEG audio, ADTS frames.
_STREAM = re.compile(
    rb"\0\0\x01[\xba\xb3\xb0\xb5\xb6\x0f]|\0\0\0?\x01[\x09\x06\x67\x27\x47\x40\x42\x44\x46\x4e]"
    rb"|\xff[\xfa\xfb\xf2\xf3\xf1\xf9]"
)


def is_image_name(name: str) -> bool:
    """Return whether a file is an image by its extension."""
    return _KIND_OF_EXTENSION.get(os.path.splitext(name)[1][1:].lower()) == AN_IMAGE


def describe_non_media(path: Path) -> str | None:
    """Return what kind of file `path` is, for the list of skipped files, or None where the file is an input.

    The file is read, 389 bytes of it, only where its extension is not one of `MEDIA_EXTENSIONS`. A file that is not
    there is an input, unless its extension names another kind, so that the run reports it. Raises OSError.
    """
    extension = os.path.splitext(path.name)[1][1:].lower()
    if extension in MEDIA_EXTENSIONS:
        return None
    kind = _KIND_OF_EXTENSION.get(extension)
    if kind == "an unfinished download":
        return kind
    try:
        with open(path, "rb", opener=open_plain) as file:
            is_media = looks_like_media(file.read(_SNIFFED_BYTES))
    except OSError as error:
        raise_machine_fault(error)
        is_media = kind is None
    if is_media:
        return None
    return kind or ("no extension" if not extension else f"unknown extension .{extension}")


def holds_video(path: Path) -> bool:
    """Return whether a file is an input, or a folder may hold one, by names and first bytes. Raises OSError.

    Links in a folder count as inputs: where they lead is for the run to find out.
    """
    if not path.is_dir():
        return path.is_file() and describe_non_media(path) is None
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names if name[0] != ".")
    return any(file.is_symlink() or (file.is_file() and describe_non_media(file) is None) for file in files)


def looks_like_media(head: bytes) -> bool:
    """Return whether a file that starts with these bytes holds video or audio, by the marks of its container."""
    if head[4:8] in _BOXES:  # mp4, mov
        return head[8:12] not in _IMAGE_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] in (b"AVI ", b"WAVE")
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    for first, packet in ((0, 188), (4, 192)):  # MPEG transport streams: each packet starts with 0x47
        if head[first : first + 2 * packet + 1 : packet] == b"GGG":
            return True
    return head.startswith(_STARTS) or _STREAM.match(head) is not None
