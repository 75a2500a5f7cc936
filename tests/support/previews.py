"""What a decoder may do to its process while it makes a preview."""

import os
import signal
import time

import numpy as np
from avf_curation.media.preview import Preview


def make_gray_preview() -> Preview:
    return Preview(mp4=str(os.getpid()).encode(), frames_THWC=[np.full((2, 2, 3), 128, np.uint8)])


def crash() -> Preview:
    signal.raise_signal(signal.SIGSEGV)
    return make_gray_preview()


def spin() -> Preview:
    while True:
        pass


def wait() -> Preview:
    while True:
        time.sleep(60)


def fill_memory() -> Preview:
    blocks = []
    while True:
        blocks.append(np.ones(2_000_000))


def divide_by_zero() -> Preview:
    raise ZeroDivisionError("by zero")


def lose_the_disk() -> Preview:
    raise OSError(5, "Input/output error", "/data/a.mp4")
