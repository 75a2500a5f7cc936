"""Process groups, collectives, and models spread over ranks."""
