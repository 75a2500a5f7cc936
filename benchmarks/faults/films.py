"""The small files that are damaged: 1.2 s of a drawn talker in every container and codec, most of 4 to 60 kB."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import soundfile
from avf_curation.demo.video import ShotScript, shot_frames

from benchmarks.media.source import run_ffmpeg

WIDTH_PX, HEIGHT_PX, FRAMES = 160, 120, 30
_H264, _AAC = "-c:v libx264 -preset veryfast -crf 28 -pix_fmt yuv420p", "-c:a aac -b:a 32k"
_VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 150k"

#: What a user calls it -> ending of the file, options of ffmpeg for both streams.
FORMATS: Mapping[str, tuple[str, str]] = {
    "MP4, H.264, AAC": ("mp4", f"{_H264} -bf 3 {_AAC}"),
    "MP4, index in front": ("mp4", f"{_H264} -bf 3 {_AAC} -movflags +faststart"),
    "fragmented MP4": ("mp4", f"{_H264} {_AAC} -movflags frag_keyframe+empty_moov"),
    "MP4, H.265": ("mp4", f"-c:v libx265 -preset veryfast -crf 28 -x265-params log-level=error {_AAC}"),
    "MP4, AV1": ("mp4", f"-c:v libsvtav1 -preset 12 -crf 40 {_AAC}"),
    "MP4 with an edit list": ("mp4", f"-ss 0.1 {_H264} -bf 3 -g 12 {_AAC} -output_ts_offset 0.3"),
    "QuickTime, MPEG-4, PCM": ("mov", "-c:v mpeg4 -q:v 6 -c:a pcm_s16le"),
    "QuickTime, ProRes": ("mov", "-c:v prores_ks -profile:v 0 -c:a pcm_s16le"),
    "QuickTime, Animation": ("mov", "-c:v qtrle -r 5 -c:a pcm_s16le"),
    "3GP, H.263": ("3gp", f"-c:v h263 -s 176x144 -q:v 6 {_AAC}"),
    "Matroska, H.264, FLAC": ("mkv", f"{_H264} -bf 3 -c:a flac"),
    "live Matroska": ("mkv", f"{_H264} -c:a libvorbis -live 1"),
    "Matroska, FFV1": ("mkv", "-c:v ffv1 -r 5 -c:a flac"),
    "WebM, VP9, Opus": ("webm", f"{_VP9} -c:a libopus"),
    "WebM, VP8, Vorbis": ("webm", "-c:v libvpx -deadline realtime -b:v 150k -c:a libvorbis"),
    "MPEG-TS, H.264": ("ts", f"{_H264} -bf 3 {_AAC}"),
    "MPEG-TS, H.265": ("ts", f"-c:v libx265 -preset veryfast -crf 28 -x265-params log-level=error {_AAC}"),
    "MPEG-TS, MPEG-2": ("ts", "-c:v mpeg2video -q:v 8 -bf 2 -c:a mp2"),
    "M2TS, H.264, AC-3": ("m2ts", f"{_H264} -c:a ac3"),
    "MPEG program stream, MPEG-1": ("mpg", "-c:v mpeg1video -q:v 8 -c:a mp2"),
    "VOB, MPEG-2, AC-3": ("vob", "-c:v mpeg2video -q:v 8 -bf 2 -c:a ac3"),
    "FLV, H.264": ("flv", f"{_H264} {_AAC}"),
    "FLV, Sorenson": ("flv", "-c:v flv1 -q:v 6 -c:a libmp3lame -ar 44100"),
    "AVI, MPEG-4, MP3": ("avi", "-c:v mpeg4 -vtag XVID -bf 2 -q:v 6 -c:a libmp3lame"),
    "AVI, Motion JPEG, PCM": ("avi", "-c:v mjpeg -q:v 12 -pix_fmt yuvj420p -c:a pcm_s16le"),
    "AVI, MS-MPEG-4": ("avi", "-c:v msmpeg4 -q:v 6 -c:a libmp3lame"),
    "AVI, HuffYUV": ("avi", "-c:v huffyuv -r 5 -pix_fmt yuv422p -c:a pcm_s16le"),
    "ASF, WMV 2": ("wmv", "-c:v wmv2 -q:v 6 -c:a wmav2"),
    "MXF, MPEG-2": ("mxf", "-c:v mpeg2video -q:v 8 -bf 2 -c:a pcm_s16le -ar 48000"),
    "NUT, H.264": ("nut", f"{_H264} -bf 3 {_AAC}"),
    "Ogg, Theora": ("ogv", "-c:v libtheora -q:v 4 -c:a libvorbis"),
    "RealMedia, RV10": ("rm", "-c:v rv10 -s 176x144 -q:v 8 -c:a ac3"),
    "GIF": ("gif", "-c:v gif -r 10 -an"),
    "IVF, VP8": ("ivf", "-c:v libvpx -deadline realtime -b:v 150k -an"),
    "raw H.264": ("h264", f"{_H264} -bf 2 -an"),
    "raw H.265": ("hevc", "-c:v libx265 -preset veryfast -crf 28 -x265-params log-level=error -an"),
    "raw MPEG-4": ("m4v", "-c:v mpeg4 -q:v 6 -an"),
    "raw AV1": ("obu", "-c:v libsvtav1 -preset 12 -crf 40 -an"),
    "DV": ("dv", "-c:v dvvideo -s 720x576 -r 25 -t 0.2 -pix_fmt yuv420p -c:a pcm_s16le -ar 48000 -ac 2"),
    "WAV": ("wav", "-vn -c:a pcm_s16le"),
    "WAV, ADPCM": ("wav", "-vn -c:a adpcm_ms"),
    "FLAC": ("flac", "-vn -c:a flac"),
    "MP3": ("mp3", "-vn -c:a libmp3lame"),
    "M4A, ALAC": ("m4a", "-vn -c:a alac"),
    "AAC": ("aac", f"-vn {_AAC}"),
    "Ogg, Opus": ("opus", "-vn -c:a libopus"),
    "AIFF": ("aiff", "-vn -c:a pcm_s16be"),
    "CAF": ("caf", "-vn -c:a pcm_s16le"),
    "AC-3": ("ac3", "-vn -c:a ac3"),
    "WMA": ("wma", "-vn -c:a wmav2"),
}


@functools.cache
def write_film(name: str) -> bytes:
    """Return the film in a format. Raises RuntimeError where the program ffmpeg cannot write it."""
    ending, options = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        pictures, sound, out = (Path(folder, file) for file in ("film.bgr", "film.wav", f"out.{ending}"))
        pictures.write_bytes(_film()[0])
        soundfile.write(sound, _film()[1], 16_000, subtype="PCM_16")
        size = f"{WIDTH_PX}x{HEIGHT_PX}"
        inputs = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", "25", "-i", str(pictures), "-i", str(sound)]
        # Without -bitexact some containers hold random numbers or the time.
        flags = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-threads", "1"]
        error = run_ffmpeg([*inputs, *options.split(), *flags, str(out)])
        if error:
            raise RuntimeError(f"{name}: ffmpeg cannot write it: {error}")
        return out.read_bytes()


@functools.cache
def _film() -> tuple[bytes, np.ndarray]:
    frames, samples = shot_frames(ShotScript(frames=FRAMES, speakers=(0,), seed=1, face_px=240))
    small = (cv2.resize(frame, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA) for frame in frames)
    return b"".join(frame.tobytes() for frame in small), samples
