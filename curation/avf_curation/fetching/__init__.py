"""Downloads of corpora whose owners publish lists of ids and time ranges: avf-curate fetch."""
