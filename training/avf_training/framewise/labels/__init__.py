"""Labels of frames: a file for each person of a video and task, which all training and scoring of frames reads."""
