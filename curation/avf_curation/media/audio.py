"""Reads the sound of an input as 16 kHz mono, placed by its own timestamps on the timeline of the video."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span

from avf_curation.media.audio_runs import SoundLimits, place_frames
from avf_curation.media.audio_stream import choose_audio_stream
from avf_curation.media.channel_order import reorder_channels
from avf_curation.media.container import MAX_DECODE_ERRORS, StreamsAppearedError, open_container, read_packets
from avf_curation.media.downmix import SEGMENT_S, ChannelComparison, mix_format, to_int16
from avf_curation.media.file_clock import FileClock, PacketClock, read_file_clock, seek_before
from avf_curation.media.types import AudioTrack, MediaConfig, MediaError, Samples, TimeRange

log = logging.getLogger(__name__)

_MAX_OVERLAP_S = 0.25  # as much sound as a shot may lack; codecs end with up to 0.1 s more than was recorded
_MAX_OVERLAP_SHARE = 0.01  # of the timeline
_MARGIN_S = 1.0  # decoded before and after a range, so that the resampler has settled
_FADE_SAMPLES = 160  # 10 ms, where the downmix gives way to one channel
_GUESS_ERROR_S = 0.005  # more than timestamps are rounded by
Block = tuple[float, int, Samples]
"""(start in seconds of a run of sound without a hole, samples of that run before this block, samples)."""


def read_audio(
    path: Path,
    config: MediaConfig,
    start_s: float,
    frames: int | None,
    within: TimeRange | None,
) -> AudioTrack | None:
    """Return the sound track that `choose_audio_stream` picks as 16 kHz mono; None when the input has no sound track.

    Packets that cannot be decoded leave a hole that is not in `covered`. Seconds whose channels cancel each other in
    the sum are taken from the louder channel, in a second decode of the sound. Raises MediaError.

    Args:
        start_s: time of frame 0 on the clock of the file.
        frames: length of the timeline; None for the length of the sound itself.
        within: the part of the file that is the input; None for all of it.
    """
    request = _Request(path=path, config=config, start_s=start_s, frames=frames, within=within)
    comparison = ChannelComparison()
    audio_track = _read_pass(request, _DownmixToMono(comparison))
    if audio_track is None or frames is None:
        return audio_track
    segments = comparison.cancelled_segments()
    if segments:
        channel = comparison.louder_channel(segments)
        one_channel = _read_pass(request, _OneOfTwoChannels(channel))
        assert one_channel is not None
        audio_track = _replace_cancelled(audio_track, one_channel.samples, set(segments), start_s)
        log.info(
            "%r: left and right cancel each other for %g s, which are taken from the %s channel",
            str(path),
            audio_track.one_channel_s,
            ("left", "right")[channel],
        )
    if len(audio_track.covered) > 1:
        log.info("%r: the sound has %d holes", str(path), len(audio_track.covered) - 1)
    return audio_track


@dataclass(frozen=True, kw_only=True)
class _Request:
    """The arguments of `read_audio`."""

    path: Path
    config: MediaConfig
    start_s: float
    frames: int | None
    within: TimeRange | None


class _DownmixToMono:
    """Makes one channel of all, by FFmpeg's matrix, and compares the channels on the way."""

    layout = "mono"

    def __init__(self, comparison: ChannelComparison) -> None:
        self._comparison = comparison

    def look_at(self, time_s: float, frame: Any) -> None:
        self._comparison.add(time_s, frame)

    def pick(self, block_CS: Samples) -> Samples:
        return np.asarray(block_CS[0], np.int16)


class _OneOfTwoChannels:
    """Takes the left or the right channel alone."""

    layout = "stereo"

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def look_at(self, time_s: float, frame: Any) -> None:
        pass

    def pick(self, block_CS: Samples) -> Samples:
        return np.ascontiguousarray(block_CS[self._channel])


def _read_pass(request: _Request, downmix: _DownmixToMono | _OneOfTwoChannels) -> AudioTrack | None:
    """Decode the sound once and place it."""
    path, start_s, frames, within = request.path, request.start_s, request.frames, request.within
    with open_container(path) as container:
        if not container.streams.audio:
            log.debug("%r: the input has no audio stream", str(path))
            return None
        choice = choose_audio_stream(container.streams.audio, request.config.audio_languages)
        if choice.count > 1:
            log.info(
                "%r: sound track %d of %d is taken (language %s)",
                str(path),
                choice.index + 1,
                choice.count,
                choice.language or "not tagged",
            )
        stream = container.streams.audio[choice.index]
        clock = read_file_clock(path, container.format.name, request.config.audio_languages)
        until_s, seek_s = None, None
        if within is not None:
            begin_s = float(clock.starts.get(stream.index, stream.start_time or 0) * stream.time_base)
            if frames is None:
                start_s, frames = begin_s + within.start_s, round(within.seconds * FRAMES_PER_SECOND)
            until_s = start_s + within.seconds + _MARGIN_S
            seek_s = max(begin_s, start_s - _MARGIN_S)
        decoded = _decode_from(container, stream, clock, seek_s)
        joins = clock.streams[stream.index].begins if stream.index in clock.streams else ()
        limits = SoundLimits(
            max_duration_s=request.config.max_duration_s,
            file_bytes=container.size_bytes,
            until_s=until_s,
            joins_s=tuple(float(ticks * stream.time_base) for ticks in joins),
        )
        order = container.channel_orders.get(stream.index)
        if order is not None:
            decoded = (reorder_channels(frame, order) for frame in decoded)
        blocks = _resample_blocks(decoded, downmix, limits)
        audio_track = _place_without_video(list(blocks)) if frames is None else _place_blocks(blocks, start_s, frames)
        return replace(audio_track, stream=choice)


def _replace_cancelled(audio_track: AudioTrack, one_channel: Samples, segments: set[int], start_s: float) -> AudioTrack:
    """Return the track with `one_channel` in the given segments of the file's clock, faded over at their edges."""
    samples = audio_track.samples.copy()
    replaced = 0
    for segment in sorted(segments):
        low, high = (round((number * SEGMENT_S - start_s) * SAMPLE_RATE_HZ) for number in (segment, segment + 1))
        low, high = max(0, low), min(len(samples), max(0, high))
        weight = np.ones(max(0, high - low), np.float32)
        if low > 0 and segment - 1 not in segments:
            weight[:_FADE_SAMPLES] = np.linspace(0, 1, _FADE_SAMPLES)[: len(weight)]
        if high < len(samples) and segment + 1 not in segments:
            weight[-_FADE_SAMPLES:] *= np.linspace(1, 0, _FADE_SAMPLES)[-len(weight) :]
        mixed = samples[low:high] * (1 - weight) + one_channel[low:high] * weight
        samples[low:high] = np.round(mixed).astype(np.int16)
        replaced += len(weight)
    return replace(audio_track, samples=samples, one_channel_s=round(replaced / SAMPLE_RATE_HZ, 2))


def _place_without_video(blocks: list[Block]) -> AudioTrack:
    """Place sound without video: the timeline starts and ends with the sound."""
    if not blocks:
        return AudioTrack(samples=np.zeros(0, np.int16))
    start_s = blocks[0][0]
    end_s = max(run_s + (skipped + len(data)) / SAMPLE_RATE_HZ for run_s, skipped, data in blocks)
    return _place_blocks(iter(blocks), start_s, max(1, round((end_s - start_s) * FRAMES_PER_SECOND)))


def _place_blocks(blocks: Iterator[Block], start_s: float, frames: int) -> AudioTrack:
    """Place blocks of sound on a timeline of `frames` that starts at `start_s`; sound outside is dropped.

    Raises MediaError where the timestamps put much of the sound over other sound, so that neither can be trusted.
    """
    samples = np.zeros(frames * SAMPLES_PER_FRAME, np.int16)
    covered: list[Span] = []
    overlapping = 0  # samples at places that have sound already
    for run_s, skipped, data in blocks:
        # Only the start of a run is rounded: rounding each block would tear the sound by single samples.
        position = round((run_s - start_s) * SAMPLE_RATE_HZ) + skipped
        inside = data[max(0, -position) : max(0, len(samples) - position)]
        position = max(0, position)
        if not len(inside):
            continue
        samples[position : position + len(inside)] = inside
        stop = position + len(inside)
        new_from = max(position, covered[-1].stop_frame) if covered else position
        overlapping += min(stop, new_from) - position
        if stop <= new_from:
            continue
        if covered and covered[-1].stop_frame == new_from:
            covered[-1] = Span(covered[-1].start_frame, stop)
        else:
            covered.append(Span(new_from, stop))
    if overlapping > max(_MAX_OVERLAP_S * SAMPLE_RATE_HZ, _MAX_OVERLAP_SHARE * len(samples)):
        seconds = overlapping / SAMPLE_RATE_HZ
        raise MediaError(
            "unplaced_sound", f"{seconds:.1f} s of the sound have timestamps at which there is other sound"
        )
    return AudioTrack(samples=samples, covered=tuple(covered))


def _resample_blocks(
    decoded: Iterator[Any], downmix: _DownmixToMono | _OneOfTwoChannels, limits: SoundLimits
) -> Iterator[Block]:
    """Yield the sound as 16 kHz mono, block by block; a hole in the timestamps, or a join, starts a new run."""
    resampler: Any = None
    resampled_format: tuple[str, str, int] | None = None
    start_s = 0.0
    yielded = 0  # samples of the current run

    def resample(frame: Any) -> Iterator[Block]:
        nonlocal yielded
        for block in resampler.resample(frame):
            data = downmix.pick(to_int16(block.to_ndarray()))
            yield start_s, yielded, data
            yielded += len(data)

    for sound in place_frames(decoded, limits):
        frame = sound.frame
        frame_format = frame.format.name, frame.layout.name, frame.sample_rate
        # PyAV's resampler passes on what needs no conversion, and would go on so when the format changes in mid-stream.
        if resampler is None or sound.begins_run or frame_format != resampled_format:
            if resampler is not None:
                yield from resample(None)  # the samples that the filter of the old run still holds
            sample_format = mix_format(frame.layout)
            resampler = av.AudioResampler(format=sample_format, layout=downmix.layout, rate=SAMPLE_RATE_HZ)
            start_s, yielded, resampled_format = sound.time_s, 0, frame_format
        frame.pts = None  # the resampler would stretch the sound to follow small jitter of the timestamps
        try:
            downmix.look_at(sound.time_s, frame)
            yield from resample(frame)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):  # a frame that cannot be converted: a new run begins
            resampler = None
    if resampler is not None:
        yield from resample(None)


def _decode_from(container: Any, stream: Any, clock: FileClock, seek_s: float | None) -> Iterator[Any]:
    """Yield the decoded sound from a time on; None: from the start of the file."""
    stream.thread_count = 1
    target_s = None if seek_s is None else seek_s - _MARGIN_S
    if target_s is None or not seek_before(container, stream, clock, int(target_s / float(stream.time_base))):
        yield from _decode_audio(_read_packets(container, stream, clock))
        return
    frames = _decode_audio(_read_packets(container, stream, clock))
    first = next(frames, None)
    if first is not None and first.pts is not None and first.time <= seek_s:
        # The first packet behind a seek may be the rest of one that began earlier, with the timestamp of the next.
        yield from (frame for frame in frames if frame.pts is None or frame.time >= seek_s)
        return
    # The seek led to a packet behind the time. Sound before the range is decoded and dropped.
    with open_container(Path(container.name)) as again:
        yield from _decode_from(again, again.streams[stream.index], clock, None)


def _read_packets(container: Any, stream: Any, clock: FileClock) -> Iterator[Any]:
    """Yield the packets of the sound, their clock continued where that of the file starts again.

    Those that an edit list does not show are left out, which makes a hole.
    """
    packet_clock = PacketClock(clock)
    for packet in read_packets(container, stream):
        packet_clock.adjust(packet)
        if not packet_clock.is_misplayed(packet):
            yield packet


def _decode_audio(packets: Iterator[Any]) -> Iterator[Any]:
    """Yield decoded audio frames; packets that cannot be decoded are skipped."""
    errors = 0
    end_s: float | None = None  # of the frame before
    while errors < MAX_DECODE_ERRORS:
        try:
            packet = next(packets)
            for frame in packet.decode():
                _mend_guessed_time(packet, frame, end_s)
                end_s = frame.time + frame.samples / frame.sample_rate if frame.pts is not None else None
                yield frame
        except (StopIteration, EOFError, StreamsAppearedError):
            break
        except MemoryError:
            raise
        except av.error.FFmpegError:
            errors += 1
    if errors:
        log.info("%d audio packets cannot be decoded and leave holes", errors)


def _mend_guessed_time(packet: Any, frame: Any, end_s: float | None) -> None:
    """Have a frame whose time FFmpeg has guessed begin where the one before ends, if they are further apart.

    In MPEG-TS only the first of the packets that lie in one block has a time and a place in the file. FFmpeg counts on
    from it by the sample rate at the start of the file, which is another one in a recording that was joined to it.
    """
    is_guessed = packet.pos is None and packet.stream.container.format.name == "mpegts"
    if is_guessed and end_s is not None and frame.pts is not None and abs(frame.time - end_s) > _GUESS_ERROR_S:
        frame.pts = round(end_s / frame.time_base)
