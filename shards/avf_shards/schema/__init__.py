"""What is written down of a clip: ledger row, record, key, labels."""
