"""Names the channels of a sound track in FFmpeg's own order, where a file lists them in another one.

QuickTime files may list their channels in any order, as those of 7.1 in PCM do. PyAV 18 frees such a list with the
first frame that is decoded and again with the second one, which ends the process. So the decoder is told FFmpeg's order
of the same channels, which needs no list, and the samples are put into that order.
"""

from typing import Any

import av

# The channels that FFmpeg numbers first, in its order (libavutil/channel_layout.h).
_ORDER = [
    "FL",
    "FR",
    "FC",
    "LFE",
    "BL",
    "BR",
    "FLC",
    "FRC",
    "BC",
    "SL",
    "SR",
    "TC",
    "TFL",
    "TFC",
    "TFR",
    "TBL",
    "TBC",
    "TBR",
]
ChannelOrder = tuple[int, ...]
"""For each channel in FFmpeg's order, its number in the file."""


def use_native_order(stream: Any) -> ChannelOrder | None:
    """Have the decoder of a sound track name the channels in FFmpeg's order; call it before anything is decoded.

    Returns where the file has each channel; None where the file has FFmpeg's order, or names no channels.
    """
    context = stream.codec_context
    layout = context.layout  # PyAV frees the list of the decoder together with this object, so it is replaced below
    names = [channel.name for channel in layout.channels]
    if "+" not in layout.name:
        return None
    if len(set(names)) < len(names) or not set(names) <= set(_ORDER):
        context.layout = _usual_layout(len(names))
        return None
    sorted_names = sorted(names, key=_ORDER.index)
    context.layout = "+".join(sorted_names)
    # Other decoders than those of PCM go by what the compressed sound says.
    if sorted_names == names or not context.name.startswith("pcm_"):
        return None
    return tuple(names.index(name) for name in sorted_names)


def reorder_channels(frame: Any, order: ChannelOrder) -> Any:
    """Return a decoded frame with its channels in FFmpeg's order; the layout of `frame` names them so already."""
    samples_SC = frame.to_ndarray().reshape(-1, len(order))  # those of PCM are packed
    interleaved = samples_SC[:, list(order)].reshape(1, -1)
    ordered = av.AudioFrame.from_ndarray(interleaved, format=frame.format.name, layout=frame.layout.name)
    ordered.sample_rate, ordered.pts, ordered.time_base = frame.sample_rate, frame.pts, frame.time_base
    return ordered


def _usual_layout(channels: int) -> av.AudioLayout:
    """Return FFmpeg's layout of so many channels that have no names; one without names where it has none."""
    try:
        return av.AudioLayout(f"{channels}c")
    except ValueError:
        return av.AudioLayout(f"{channels} channels")
