"""The contract between curation and training: format, ledger, index, pack, stream order.

Needs the standard library, numpy and pyarrow, nothing else.
"""
