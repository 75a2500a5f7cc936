"""The names of the stages in the order in which they run."""

STAGES = ("scenes", "faces", "silence", "track", "sync", "quality")

# Settings of these stages decide where spans begin and end. A ledger knows only its own spans, so it cannot tell what
# another value of such a setting would have decided.
SPAN_STAGES = ("scenes", "silence")
