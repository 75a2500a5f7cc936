"""Reading and writing media: frames at 25 fps and sound at 16 kHz mono."""
