"""The demo corpus, made by code: people who are drawn, speech that is synthesised, and the truth about both."""
