"""avf-train train-speech: train an acoustic model on the sound of labelled videos, where somebody speaks."""

import argparse
import json
import logging
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import show_progress
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.cli.extract import add_separator_options, parse_separator
from avf_training.cli.options import RECIPES, add_device_option, add_recipe_option, require_files
from avf_training.distributed.device_choice import resolve_device

log = logging.getLogger(__name__)
_DETAILS = """\
The SUN team's acoustic models V1 to V3 on a speech encoder, for valence and arousal, expressions, or both. A window is
4 s of sound in which somebody speaks by the tracks of `mouth` or `speech`. A run that was killed goes on with the same
command, and ends with the same bits. RUN/best is read by `avf-train extract --extractor pdem_v1`, v2 or v3."""


def add(commands: Any) -> None:
    """Add `train-speech`."""
    parser = add_command(
        commands,
        "train-speech",
        _run,
        help="Train an acoustic model on the sound of labelled videos, where somebody speaks.",
        details=_DETAILS,
    )
    parser.add_argument(
        "sounds", metavar="SOUNDS", type=local_path, help="folder of videos or sound files, VIDEO.mp4 or VIDEO.wav"
    )
    parser.add_argument(
        "--labels", metavar="LABELS", type=local_path, required=True, help="folder that `avf-train frame-labels` wrote"
    )
    parser.add_argument(
        "--voice",
        metavar="TRACKS",
        type=local_path,
        required=True,
        help="folder with tracks of the extractor `mouth`, or else `speech`",
    )
    parser.add_argument(
        "--encoder",
        metavar="FILE",
        type=local_path,
        required=True,
        help="weights of the speech encoder: a file or folder of Hugging Face, such as audEERING's PDEM",
    )
    add_recipe_option(parser, RECIPES / "speech", "batch=8")
    parser.add_argument("--out", metavar="RUN", type=output_folder, required=True, help="folder of the run")
    add_separator_options(parser)
    add_device_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.distributed.environment import refuse_several_processes
    from avf_training.framewise.speech.speech_recipe import load_speech_recipe

    refuse_several_processes("train-speech")
    recipe = load_speech_recipe(options.recipe, options.set)
    separator = parse_separator(options)
    for folder in (options.sounds, options.labels, options.voice):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    require_files(options.encoder)
    show_progress("listing the windows")
    # After what is refused quickly: these load torch.
    from avf_training.framewise.speech.speech_training import (
        SCORES,
        SpeechTrainingData,
        read_speech_result,
        run_speech_training,
    )
    from avf_training.framewise.speech.voice_windows import VoiceData
    from avf_training.framewise.tracks.sound_decoder import decode_sound
    from avf_training.framewise.tracks.sound_files import name_sound_files

    faults: list[str] = []
    data = SpeechTrainingData(
        voice=VoiceData(
            sounds=name_sound_files(options.sounds, faults.append), labels=options.labels, voice=options.voice
        ),
        encoder=options.encoder,
        decode=decode_sound if separator is None else separator.decode_voice,
        separator="" if separator is None else json.dumps(separator.settings, sort_keys=True),
    )
    for fault in faults:
        log.warning("%s", fault)
    path = run_speech_training(
        recipe,
        data,
        options.out,
        device=resolve_device(options.device),
        on_file=lambda number, files: show_progress(f"decoding file {number} of {files}"),
    )
    show_progress("")
    if path is None:
        print(f"{options.out}: stopped and saved; the same command goes on")
        return 0
    result = read_speech_result(options.out)
    best = result["best"]
    scores = "  ".join(f"{name} {best[name]:.4f}" for name in SCORES if best.get(name) is not None)
    print(f"{options.out}: {result['version']}, {result['task']}, protocol {result['protocol']}")
    print(f"  best at step {best['step'] + 1}: {scores}  {options.out / best['folder']}")
    if result["skipped"]:
        print(f"  {count_noun(len(result['skipped']), 'labelled video')} left out; {path} names them")
    return 0
