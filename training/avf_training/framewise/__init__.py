"""Affect frame by frame: the ABAW-6 systems of NetEase Fuxi and the SUN team, from labels to a submission.

Everything here is about single frames of a video, numbered from 1. The rest of avf_training, which is about clips, does
not import it.
"""
