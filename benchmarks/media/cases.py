"""The files that are generated: for each, how ffmpeg writes it and what of the film it shows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from benchmarks.media.source import BEEPS_S, SECONDS, Film, run_ffmpeg

H264 = "-c:v libx264 -preset veryfast -crf 14 -pix_fmt yuv420p"
AAC = "-c:a aac"
PAL = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class MediaCase:
    """One generated file."""

    group: str  # heading of its table
    name: str  # what it is, in the words of its users
    file: str  # name of the file; the ending is that of its container
    options: str = f"{H264} {AAC}"  # of ffmpeg, for both streams
    rate: Fraction = PAL  # of the film
    shown: Callable[[float], float] = lambda time_s: (
        time_s
    )  # time on the timeline -> time of the film that is right there
    seconds: float = SECONDS  # length of the right timeline
    sound_limit_ms: float = 22.0  # of the promise: one AAC frame, which files without edit lists keep as silence
    picture_limit_ms: float = 40.0  # of the promise: one frame of the timeline
    repeats_s: float | None = None  # the film begins again after so many seconds; None: once only
    beeps_s: tuple[float, ...] = BEEPS_S  # beeps on the right timeline
    #: Writes the file where one command of ffmpeg does not: (film, folder, file) -> "" or an error.
    make: Callable[[Film, Path, Path], str] | None = None

    def write(self, film: Film, folder: Path) -> str:
        """Write the file into `folder`; return "" or why ffmpeg cannot."""
        out = folder / self.file
        if self.make is not None:
            return self.make(film, folder, out)
        return run_ffmpeg([*film.picture_input(), *film.sound_input(), *self.options.split(), str(out)])


def all_cases() -> list[MediaCase]:
    """Return every case, in the order of the page."""
    return [*_containers(), *_codecs(), *_rates(), *_pixel_formats(), *_sound_formats(), *_gapless(), *_times()]


def _cases(group: str, rows: Iterable[tuple[str, str, str]]) -> Iterable[MediaCase]:
    for number, (name, ending, options) in enumerate(rows):
        yield MediaCase(
            group=group,
            name=name,
            file=f"{group.split()[0].lower()}_{number:02d}.{ending}",
            options=options,
            # AVI says neither when a frame is shown nor how late an encoder's sound is.
            sound_limit_ms=60.0 if ending == "avi" else 22.0,
        )


def _containers() -> Iterable[MediaCase]:
    bframes = f"{H264} -bf 3"
    yield from _cases(
        "Containers",
        (
            ("MP4, H.264, AAC", "mp4", f"{bframes} {AAC}"),
            ("MP4, index in front", "mp4", f"{bframes} {AAC} -movflags +faststart"),
            ("fragmented MP4", "mp4", f"{bframes} {AAC} -movflags frag_keyframe+empty_moov"),
            ("QuickTime MOV, PCM", "mov", f"{bframes} -c:a pcm_s16le"),
            ("3GP, H.263", "3gp", f"-c:v h263 -s 352x288 -q:v 2 {AAC}"),
            ("Matroska", "mkv", f"{bframes} {AAC}"),
            ("live Matroska, no index and no length", "mkv", f"{bframes} {AAC} -live 1"),
            ("WebM, VP9, Opus", "webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -c:a libopus"),
            ("MPEG-TS, AAC", "ts", f"{bframes} {AAC}"),
            ("MPEG-TS, MPEG audio", "ts", f"{bframes} -c:a mp2"),
            ("BDAV M2TS", "m2ts", f"{bframes} -c:a ac3"),
            ("MPEG program stream", "mpg", "-c:v mpeg2video -q:v 2 -bf 2 -c:a mp2"),
            ("DVD VOB", "vob", "-c:v mpeg2video -q:v 2 -bf 2 -c:a ac3"),
            ("FLV", "flv", f"{bframes} {AAC}"),
            ("AVI, H.264 without B-frames", "avi", f"{H264} -bf 0 -c:a libmp3lame"),
            ("AVI, H.264 with B-frames", "avi", f"{bframes} -c:a libmp3lame"),
            ("AVI, one B-frame", "avi", f"{H264} -bf 1 -b_strategy 0 -c:a libmp3lame"),
            ("ASF, WMV 2", "wmv", "-c:v wmv2 -q:v 2 -c:a wmav2"),
            ("MXF, MPEG-2, PCM", "mxf", "-c:v mpeg2video -q:v 2 -bf 2 -c:a pcm_s16le"),
            ("NUT", "nut", f"{bframes} {AAC}"),
            ("Ogg, Theora, Vorbis", "ogv", "-c:v libtheora -q:v 8 -c:a libvorbis"),
            ("MP4 without an edit list, negative offsets", "mp4", f"{bframes} {AAC} -movflags negative_cts_offsets"),
            ("AVI, B-frames, MP3 of variable rate", "avi", f"{bframes} -c:a libmp3lame -q:a 4"),
            ("MP4, VP9, Opus", "mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -c:a libopus"),
            ("MXF, DNxHR", "mxf", "-c:v dnxhd -profile:v dnxhr_hq -pix_fmt yuv422p -c:a pcm_s16le"),
        ),
    )


def _codecs() -> Iterable[MediaCase]:
    yield from _cases(
        "Video codecs",
        (
            ("H.265, B-frames", "mp4", f"-c:v libx265 -preset veryfast -crf 14 -x265-params log-level=error {AAC}"),
            ("H.264, open GOP", "mkv", f"{H264} -bf 3 -x264-params open-gop=1:keyint=25 {AAC}"),
            ("H.264, one key frame", "mp4", f"{H264} -g 9999 {AAC}"),
            ("H.264 without any sound", "mp4", f"{H264} -an"),
            ("AV1 (SVT)", "mkv", "-c:v libsvtav1 -preset 12 -crf 20 -c:a libopus"),
            ("VP8", "webm", "-c:v libvpx -deadline realtime -b:v 1M -c:a libvorbis"),
            (
                "VP9 with hidden frames",
                "webm",
                "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 -b:v 1M -c:a libopus",
            ),
            ("MPEG-4, Xvid, two B-frames, AVI", "avi", "-c:v mpeg4 -vtag XVID -bf 2 -q:v 2 -c:a libmp3lame"),
            ("MPEG-1", "mpg", "-c:v mpeg1video -q:v 2 -c:a mp2"),
            ("MPEG-2, AVI", "avi", "-c:v mpeg2video -q:v 2 -bf 0 -c:a mp2"),
            ("Sorenson H.263, FLV", "flv", "-c:v flv1 -q:v 2 -c:a libmp3lame -ar 44100"),
            ("Motion JPEG, AVI, PCM", "avi", "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p -c:a pcm_s16le"),
            ("ProRes", "mov", "-c:v prores_ks -profile:v 2 -c:a pcm_s24le"),
            ("DNxHR", "mov", "-c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p -c:a pcm_s16le"),
            ("DV", "avi", "-c:v dvvideo -s 720x576 -pix_fmt yuv420p -c:a pcm_s16le"),
            ("FFV1", "mkv", "-c:v ffv1 -c:a flac"),
            ("HuffYUV", "avi", "-c:v huffyuv -pix_fmt yuv422p -c:a pcm_s16le"),
            ("uncompressed", "avi", "-c:v rawvideo -pix_fmt yuv420p -c:a pcm_s16le"),
            ("GIF in Matroska, no sound", "mkv", "-c:v gif -an"),
        ),
    )


def _rates() -> Iterable[MediaCase]:
    for rate in ("2", "8", "10", "12", "15", "24000/1001", "24", "30000/1001", "30", "50", "60000/1001", "60", "120"):
        yield MediaCase(
            group="Frame rates", name=f"{rate} fps", file=f"rate_{rate.replace('/', '_')}.mp4", rate=Fraction(rate)
        )
    yield MediaCase(
        group="Frame rates",
        name="variable, a picture stays for 0.4 s",
        file="rate_variable.mp4",
        options=f"-vf select='not(between(n,26,34))' -vsync vfr {H264} {AAC}",
        shown=lambda time_s: 1.0 if 1.0 < time_s < 1.4 - 1e-6 else time_s,
    )
    yield MediaCase(
        group="Frame rates",
        name="120 fps, then 30 fps",
        file="rate_switch.mp4",
        options=f"-vf select='if(lt(t,2.5),1,not(mod(n,4)))' -vsync vfr -video_track_timescale 90000 {H264} {AAC}",
        rate=Fraction(120),
    )
    yield MediaCase(
        group="Frame rates",
        name="drop-frame timecode",
        file="rate_timecode.mov",
        options=f"{H264} -timecode 00:00:59;28 -c:a pcm_s16le",
        rate=Fraction(30000, 1001),
    )


def _pixel_formats() -> Iterable[MediaCase]:
    x264 = "-c:v libx264 -preset veryfast -crf 14"
    yield from _cases(
        "Pixel formats",
        (
            ("full range 4:2:0", "mp4", f"-vf scale=out_range=full {x264} -pix_fmt yuvj420p {AAC}"),
            ("4:4:4", "mp4", f"{x264} -pix_fmt yuv444p {AAC}"),
            ("4:2:0, 10 bits", "mp4", f"{x264} -pix_fmt yuv420p10le {AAC}"),
            ("4:2:2, 10 bits", "mp4", f"{x264} -pix_fmt yuv422p10le {AAC}"),
            ("4:4:4, 10 bits", "mp4", f"{x264} -pix_fmt yuv444p10le {AAC}"),
            ("RGB", "mkv", "-c:v libx264rgb -preset veryfast -crf 10 -c:a flac"),
            ("grey", "mkv", "-c:v ffv1 -pix_fmt gray -c:a flac"),
            ("ProRes 4444 with alpha", "mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -c:a pcm_s16le"),
            (
                "VP9 with alpha",
                "webm",
                "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuva420p -b:v 1M -c:a libopus",
            ),
            (
                "VP8 with alpha",
                "webm",
                "-c:v libvpx -deadline realtime -pix_fmt yuva420p -auto-alt-ref 0 -b:v 1M -c:a libvorbis",
            ),
            ("QuickTime Animation, ARGB", "mov", "-c:v qtrle -pix_fmt argb -c:a pcm_s16le"),
            ("pixels 16:11", "mp4", f"{x264} -pix_fmt yuv420p -aspect 80:33 {AAC}"),
        ),
    )


def _sound_formats() -> Iterable[MediaCase]:
    yield from _cases(
        "Sound formats",
        (
            ("AAC 44.1 kHz", "mp4", f"{H264} {AAC} -ar 44100"),
            ("AAC 22.05 kHz", "mp4", f"{H264} {AAC} -ar 22050"),
            ("AAC 11.025 kHz", "mp4", f"{H264} {AAC} -ar 11025"),
            ("AAC 8 kHz", "mp4", f"{H264} {AAC} -ar 8000"),
            ("mu-law 8 kHz", "mkv", f"{H264} -c:a pcm_mulaw -ar 8000"),
            ("PCM 24 bits", "mkv", f"{H264} -c:a pcm_s24le"),
            ("PCM float", "mkv", f"{H264} -c:a pcm_f32le"),
            ("FLAC 96 kHz", "mkv", f"{H264} -c:a flac -ar 96000"),
            ("ALAC", "mov", f"{H264} -c:a alac"),
            ("MP3 in MP4", "mp4", f"{H264} -c:a libmp3lame"),
            ("MP3 in Matroska", "mkv", f"{H264} -c:a libmp3lame"),
            ("AC-3 5.1", "mkv", f"{H264} -af pan=5.1|FC=c0 -c:a ac3"),
            ("E-AC-3", "mkv", f"{H264} -c:a eac3"),
            ("Opus 5.1", "mkv", f"{H264} -af pan=5.1|FC=c0 -c:a libopus"),
            ("Vorbis", "mkv", f"{H264} -c:a libvorbis"),
            ("stereo, left only", "mp4", f"{H264} -af pan=stereo|c0=c0|c1=0*c0 {AAC}"),
            ("5.1, all in one side channel", "mkv", f"{H264} -af pan=5.1(side)|SL=c0 -c:a flac"),
            (
                "stereo in antiphase from the middle on",
                "mkv",
                f"{H264} -af aeval=val(0)|val(0)*(1-2*gt(t\\,2.5)) -c:a pcm_s16le",
            ),
            ("stereo in antiphase", "mkv", f"{H264} -af pan=stereo|c0=c0|c1=-1*c0 -c:a pcm_s16le"),
        ),
    )


def _gapless() -> Iterable[MediaCase]:
    for name, write_xing, limit_ms in (("with", 1, 1.0), ("without", 0, 25.0)):
        yield MediaCase(
            group="Sound formats",
            name=f"MP3 {name} gapless information, copied from its own file",
            file=f"sound_{name}.mkv",
            sound_limit_ms=limit_ms,
            make=_copied_mp3(write_xing),
        )


def _times() -> Iterable[MediaCase]:
    group = "Clocks and oddities"
    for name, ending, options in (
        ("starts at 3,600 s", "ts", f"{H264} -bf 3 {AAC} -output_ts_offset 3600"),
        ("clock of MPEG-TS wraps after 2 s", "ts", f"{H264} -bf 3 {AAC} -output_ts_offset 95439.3"),
    ):
        file = f"time_{name.split()[0]}_{ending}.{ending}"
        yield MediaCase(group=group, name=name, file=file, options=options)
    negative = MediaCase(
        group=group,
        name="starts at -1.5 s, mp4",
        file="time_negative.mp4",
        options=f"{H264} -bf 3 {AAC} -output_ts_offset -1.5 -avoid_negative_ts disabled",
    )
    yield _shift(negative, 1.5)  # an edit list hides what is before 0
    cut = MediaCase(group=group, name="cut without encoding, MP4 edit list", file="time_cut.mp4", make=_cut_copy)
    # The edit list starts the film at 1.5 s; ffmpeg keeps the packets from the key frame before.
    yield _shift(cut, 1.5)
    yield MediaCase(
        group=group,
        name="two joined MPEG-TS, the clock restarts",
        file="time_joined.ts",
        seconds=2 * SECONDS,
        sound_limit_ms=40.0,
        shown=lambda t: t % SECONDS,
        repeats_s=SECONDS,
        picture_limit_ms=60.0,  # the first one's sound ends up to 21 ms after its picture, and the second begins there
        beeps_s=(*BEEPS_S, *(SECONDS + b for b in BEEPS_S)),
        make=_join("ts", f"{H264} {AAC}"),
    )
    yield MediaCase(
        group=group,
        name="two joined MPEG program streams",
        file="time_joined.mpg",
        seconds=2 * SECONDS,
        sound_limit_ms=40.0,
        shown=lambda t: t % SECONDS,
        repeats_s=SECONDS,
        picture_limit_ms=60.0,  # the first one's sound ends up to 21 ms after its picture, and the second begins there
        beeps_s=(*BEEPS_S, *(SECONDS + b for b in BEEPS_S)),
        make=_join("mpg", "-c:v mpeg2video -q:v 2 -c:a mp2"),
    )
    yield MediaCase(
        group=group,
        name="picture starts 2 s after the sound",
        file="time_late_picture.mkv",
        seconds=SECONDS - 2,
        shown=lambda t: t + 2,
        beeps_s=tuple(b - 2 for b in BEEPS_S if b >= 2),
        make=_late_picture,
    )
    for ending in ("mkv", "ts", "mp4"):
        yield MediaCase(
            group=group,
            name=f"picture and beeps start after three minutes, {ending}",
            file=f"time_minutes.{ending}",
            make=_late_start,
        )
    yield MediaCase(group=group, name="turned by 90 degrees, pixels 4:3, PQ", file="time_turned.mp4", make=_turned)
    for name, file, make in (
        ("fonts are attached", "time_fonts.mkv", _fonts),
        ("cover art is the first video stream", "time_cover.mp4", _cover_art),
        ("subtitles beside", "time_subtitles.mkv", _subtitles),
        ("a data stream beside", "time_data.ts", _data),
        ("second sound track is the default", "time_tracks.mkv", _two_tracks),
    ):
        yield MediaCase(group=group, name=name, file=file, make=make)


def _shift(case: MediaCase, start_s: float) -> MediaCase:
    return MediaCase(
        group=case.group,
        name=case.name,
        file=case.file,
        options=case.options,
        make=case.make,
        seconds=SECONDS - start_s,
        shown=lambda time_s: time_s + start_s,
        beeps_s=tuple(b - start_s for b in BEEPS_S if b >= start_s),
    )


def _encode(film: Film, out: Path, options: str) -> str:
    return run_ffmpeg([*film.picture_input(), *film.sound_input(), *options.split(), str(out)])


def _cut_copy(film: Film, folder: Path, out: Path) -> str:
    base = folder / "base.mp4"
    return _encode(film, base, f"{H264} -g 25 -bf 3 {AAC}") or run_ffmpeg(
        ["-ss", "1.5", "-i", str(base), "-c", "copy", str(out)]
    )


def _join(ending: str, options: str) -> Callable[[Film, Path, Path], str]:
    def make(film: Film, folder: Path, out: Path) -> str:
        part = folder / f"part.{ending}"
        error = _encode(film, part, options)
        out.write_bytes(2 * part.read_bytes() if not error else b"")
        return error

    return make


def _late_picture(film: Film, folder: Path, out: Path) -> str:
    picture, sound = folder / "picture.mkv", folder / "sound.mka"
    error = _encode(film, picture, f"-ss 2 {H264} -an") or run_ffmpeg([*film.sound_input(), *AAC.split(), str(sound)])
    inputs = ["-itsoffset", "2", "-i", str(picture), "-i", str(sound)]
    return error or run_ffmpeg([*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", str(out)])


def _late_start(film: Film, folder: Path, out: Path) -> str:
    """Write a silence of three minutes before the film's sound, and the picture beside the latter."""
    picture, sound = folder / "picture.mkv", folder / "sound.mka"
    error = _encode(film, picture, f"{H264} -an") or run_ffmpeg(
        [*film.sound_input(), "-af", "adelay=180000", *AAC.split(), str(sound)]
    )
    inputs = ["-itsoffset", "180", "-i", str(picture), "-i", str(sound)]
    return error or run_ffmpeg([*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", str(out)])


def _turned(film: Film, folder: Path, out: Path) -> str:
    """Write a picture that is turned, stored with pixels that are not square, and tagged as HDR."""
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    x265 = f"-c:v libx265 -preset veryfast -crf 14 -pix_fmt yuv420p10le -x265-params log-level=error:{tags}"
    base = folder / "base.mp4"
    return _encode(film, base, f"-vf transpose=2,setsar=4/3 {x265} {AAC}") or run_ffmpeg(
        ["-i", str(base), "-c", "copy", "-metadata:s:v:0", "rotate=270", str(out)]
    )


def _fonts(film: Film, folder: Path, out: Path) -> str:
    font = folder / "font.ttf"
    font.write_bytes(bytes(range(200)))
    attached = ["-attach", str(font), "-metadata:s:t", "mimetype=application/x-truetype-font"]
    return run_ffmpeg([*film.picture_input(), *film.sound_input(), *attached, *H264.split(), *AAC.split(), str(out)])


def _data(film: Film, folder: Path, out: Path) -> str:
    data = folder / "data.bin"
    data.write_bytes(bytes(range(200)))
    inputs = [*film.picture_input(), *film.sound_input(), "-f", "data", "-i", str(data)]
    return run_ffmpeg([*inputs, *f"-map 0 -map 1 -map 2 {H264} {AAC} -c:d copy".split(), str(out)])


def _copied_mp3(write_xing: int) -> Callable[[Film, Path, Path], str]:
    def make(film: Film, folder: Path, out: Path) -> str:
        sound = folder / "sound.mp3"
        encoder = ["-c:a", "libmp3lame", "-write_xing", str(write_xing)]
        error = run_ffmpeg([*film.sound_input(), *encoder, str(sound)])
        streams = [*H264.split(), "-c:a", "copy"]
        return error or run_ffmpeg([*film.picture_input(), "-i", str(sound), *streams, str(out)])

    return make


def _cover_art(film: Film, folder: Path, out: Path) -> str:
    base, cover = folder / "base.mp4", folder / "cover.jpg"
    error = _encode(film, base, f"{H264} {AAC}") or run_ffmpeg(
        ["-f", "lavfi", "-i", "color=red:s=300x300", "-frames:v", "1", str(cover)]
    )
    streams = ["-map", "0:v", "-map", "1", "-c", "copy", "-c:v:0", "mjpeg", "-disposition:v:0", "attached_pic"]
    return error or run_ffmpeg(["-i", str(cover), "-i", str(base), *streams, str(out)])


def _subtitles(film: Film, folder: Path, out: Path) -> str:
    text = folder / "words.srt"
    text.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n", "utf-8")
    streams = f"-map 0 -map 1 -map 2 {H264} {AAC} -c:s srt".split()
    return run_ffmpeg([*film.picture_input(), "-i", str(text), *film.sound_input(), *streams, str(out)])


def _two_tracks(film: Film, folder: Path, out: Path) -> str:
    silence = ["-f", "lavfi", "-t", str(SECONDS), "-i", "anullsrc=r=48000:cl=mono"]
    streams = f"-map 0:v -map 1:a -map 2:a {H264} {AAC} -disposition:a:0 0 -disposition:a:1 default".split()
    return run_ffmpeg([*film.picture_input(), *silence, *film.sound_input(), *streams, str(out)])
