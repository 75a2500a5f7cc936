"""Schema of what is stored of a clip: ledger row, record, measurements, key, labels, and the schema versions."""
