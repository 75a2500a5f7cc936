"""Tells from the packets of an MPEG transport stream whether a unit of one of its streams is there to its last byte."""

_PACKET_BYTES = 188
_SYNC = 0x47
_MAX_UNIT_BYTES = 64 << 20  # of the file, other streams in between included; a picture has a hundredth of this


def unit_bytes(position: int, following: int) -> int:
    """Return how many bytes `is_whole_unit` looks at, for units that begin at two bytes of the file; 0: too many."""
    return following - position if 0 < following - position <= _MAX_UNIT_BYTES else 0


def is_whole_unit(data: bytes, pid: int) -> bool:
    """Return whether no packet of a unit is missing, up to the one that padding fills.

    A unit ends with its last packet, which padding fills, so that only one unit in 184 needs none. Where another
    segment follows, the counters begin again, and only this padding says that the unit has its end.

    Args:
        data: from the first packet of the unit to the first of the next unit of the same stream.
        pid: number of the stream.
    """
    counter: int | None = None
    is_padded = False
    for start in range(0, len(data) - _PACKET_BYTES + 1, _PACKET_BYTES):
        packet = data[start : start + _PACKET_BYTES]
        if packet[0] != _SYNC:
            return False
        has_payload = bool(packet[3] & 0x10)
        if (packet[1] & 31) << 8 | packet[2] != pid or not has_payload:
            continue
        if counter is not None and packet[3] & 15 != (counter + 1) & 15:
            return False
        counter, is_padded = packet[3] & 15, _is_padded(packet)
    return is_padded


def _is_padded(packet: bytes) -> bool:
    """Return whether the adaptation field of a packet is longer than what it says."""
    if not packet[3] & 0x20:
        return False
    length, flags = packet[4], packet[5]
    if length == 0:
        return True
    used = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    if flags & 0x03:  # private data, or an extension: both begin with their length
        return False
    return length > used
