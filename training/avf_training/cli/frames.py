"""avf-train frames: features in time, a vector for each frame of any rate."""

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.cli.options import add_device_option, add_model_option
from avf_training.distributed.device_choice import resolve_device

if TYPE_CHECKING:
    from avf_training.timed_features.extraction import FrameExtraction, FrameFilesReport
    from avf_training.timed_features.inputs import FrameInput

log = logging.getLogger(__name__)
_DETAILS = """\
Each vector is centred on its frame: windows of the encoder are shifted until one of its tokens lies there.

Of files the sound is heard from the first picture on, faces or not: DIR/NAME.safetensors for each file. With
--modality video or both, clips of the faces are cut first, as for embed, and each clip has a file: DIR/KEY.safetensors.

A file that stands there already is not computed again, so that the same command goes on after a stop."""


def add(commands: Any) -> None:
    """Add `frames`."""
    parser = add_command(
        commands,
        "frames",
        _run,
        help="Write a vector for each frame of any rate: what a model hears or sees there.",
        details=_DETAILS,
        epilog="example:\n  avf-train frames talk.wav --model RUN --fps 25 --layer all --out FEATURES",
    )
    parser.add_argument(
        "input",
        metavar="FILE|DIR|SHARDS",
        type=local_path,
        help="a video or sound file, a folder of them, the output of `avf-curate clip`, or packed shards",
    )
    add_model_option(parser, "pre-trained or fine-tuned model, or its run")
    parser.add_argument("--out", metavar="DIR", type=output_folder, required=True, help="folder of the files")
    parser.add_argument(
        "--fps", metavar="N", type=float, default=25.0, help="frames a second, any number (default: %(default)g)"
    )
    parser.add_argument(
        "--layer",
        metavar="N,...",
        default="last",
        help="layers of the encoder: last, all, or numbers, where 0 is what the first layer reads "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--modality",
        choices=("audio", "video", "both"),
        default="audio",
        help="what is heard, what is seen, or both (default: %(default)s)",
    )
    parser.add_argument(
        "--context",
        choices=("lattice", "dense"),
        default="lattice",
        help="lattice computes few windows; dense one for each frame, with half of it on each side "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--bands",
        choices=("mean", "keep"),
        default="mean",
        help="of sound: the mean over the mel bands, or their tokens one behind the other (default: %(default)s)",
    )
    parser.add_argument(
        "--values",
        choices=("float32", "float16"),
        default="float32",
        help="numbers that are stored; float16 takes half the space (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-clips",
        dest="clips",
        metavar="DIR",
        type=output_folder,
        help="folder for the clips that are cut from videos, to use them again (default: they are removed)",
    )
    add_device_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.tracks.frame_rates import MOST_FPS, is_frame_rate
    from avf_training.inference.clip_input import find_shards, open_clips, require_input
    from avf_training.trainer.saved_model import require_model

    if not is_frame_rate(options.fps):
        raise UserError(f"--fps {options.fps:g}: frames a second are above 0 and below {MOST_FPS:g}; 25 is usual")
    shards = find_shards(options.input)
    if shards is None and options.modality == "audio" and options.clips is not None:
        raise UserError("--keep-clips: no clips are cut for --modality audio, which hears whole files")
    if shards is None and options.modality != "audio":
        require_input(options.input)
    elif not options.input.exists():
        raise UserError(f"{options.input}: no such file or folder; name a video, a sound file, or shards")
    require_model(options.model)
    # After what is refused quickly: these load torch.
    from avf_training.timed_features.inputs import clip_frame_inputs, file_inputs

    extraction = _load(options)  # before the clips: they may take minutes
    faults: list[str] = []
    if shards is None and options.modality == "audio":
        report = _write(extraction, file_inputs(options.input, faults.append))
    else:
        with open_clips(options.input, options.clips, faults.append) as folder:
            report = _write(extraction, clip_frame_inputs(folder, options.input))
    return _tell(options, report, faults)


def _load(options: argparse.Namespace) -> "FrameExtraction":
    from avf_training.framewise.tracks.extractor import digest_weights
    from avf_training.timed_features.audio_frames import AudioFrames
    from avf_training.timed_features.extraction import FrameExtraction
    from avf_training.timed_features.video_frames import VideoFrames
    from avf_training.trainer.saved_model import start_model

    audio = video = None
    asked = {"fps": options.fps, "layers": options.layer, "context": options.context}
    device = resolve_device(options.device)
    if options.modality != "video":
        audio = AudioFrames(options.model, bands=options.bands, device=device, **asked)
    if options.modality != "audio":
        video = VideoFrames(options.model, device=device, **asked)
    return FrameExtraction(
        audio=audio,
        video=video,
        model_sha256=digest_weights(start_model(options.model)),
        values=options.values,
        folder=options.out,
    )


def _write(extraction: "FrameExtraction", inputs: "Sequence[FrameInput]") -> "FrameFilesReport":
    with progress_line() as show:
        return extraction.run(inputs, lambda name, number, of: show(f"{name}: input {number} of {of}"))


def _tell(options: argparse.Namespace, report: "FrameFilesReport", faults: list[str]) -> int:
    """Print what became of the inputs, and return the exit status."""
    faults += report.faults
    for fault in faults:
        log.error("%s", fault)
    written, skipped = count_noun(report.written, "file"), count_noun(report.skipped, "file")
    print(f"{options.out}: {written} written ({count_noun(report.frames, 'frame')}), {skipped} there already")
    return 1 if faults else 0
