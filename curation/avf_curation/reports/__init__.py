"""Written reports: audit page, review sheet, data card."""
