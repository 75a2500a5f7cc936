"""The stages in their order."""

STAGES = ("scenes", "faces", "silence", "track", "sync", "quality")

# Settings of these stages decide which spans there are. A ledger knows only its own spans, so it cannot answer what
# another value of such a setting would have decided.
SPAN_STAGES = ("scenes", "silence")
