"""The base of all HTML pages: layout, colours and charts. Its packages are imported inside functions."""
