"""avf-train frechet: Fréchet and kernel distances of two sets of videos or pictures."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path
from avf_shards.errors import UserError

from avf_training.cli.options import add_device_option
from avf_training.distributed.device_choice import resolve_device

_NAMES = ("styleganv", "common", "videogpt", "cdfvd", "clean", "avf")
_DETAILS = """\
styleganv: FVD of StyleGAN-V (i3d_torchscript.pt). common: FVD of common_metrics, with the same file. videogpt, cdfvd:
FVD of VideoGPT and of cd-fvd (i3d_pretrained_400.pt). clean: FID, and with --kernel KID, of clean-fid
(inception-2015-12-05.pt). avf: on an encoder of this program, named with --model.

Distances compare only where protocol, detector, number of samples and frames are the same; each is printed."""


def add(commands: Any) -> None:
    """Add `frechet`."""
    parser = add_command(
        commands,
        "frechet",
        _run,
        help="Compute the distance of generated videos or pictures from real ones: FVD, FID, KID.",
        details=_DETAILS,
        epilog="example:\n  avf-train frechet REAL FAKE --protocol styleganv --detector i3d_torchscript.pt",
    )
    for name in ("real", "fake"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            type=local_path,
            help="videos: a file, or a folder of them; pictures too for clean, and shards for avf",
        )
    parser.add_argument("--protocol", choices=_NAMES, required=True, help="how the sets are compared")
    parser.add_argument(
        "--detector",
        metavar="FILE|DIR",
        type=local_path,
        help="the protocol's network, as its owners publish it, or the folder of avf-train weights pull",
    )
    parser.add_argument("--model", metavar="RUN|MODEL", type=local_path, help="encoder of protocol avf")
    parser.add_argument(
        "--frames", metavar="N", type=int, default=16, help="frames of a window of a video (default: %(default)s)"
    )
    parser.add_argument(
        "--windows",
        choices=("first", "all"),
        default="first",
        help="windows of a video: the first, or all, side by side (default: %(default)s)",
    )
    parser.add_argument(
        "--every",
        metavar="N",
        type=int,
        default=1,
        help="protocol clean takes each N-th frame of a video as a picture (default: %(default)s)",
    )
    parser.add_argument("--limit", metavar="N", type=int, help="samples of each set (default: all)")
    parser.add_argument("--kernel", action="store_true", help="compute the kernel distance (KID) too")
    add_device_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    from avf_training.framewise.tracks.extractor import digest_weights
    from avf_training.frechet.compare import CompareOptions, compare_clips, compare_footage
    from avf_training.frechet.footage import FootageOptions
    from avf_training.frechet.protocols import FRECHET_PROTOCOLS, FrechetDetector
    from avf_training.trainer.saved_model import start_model

    sets, device = (options.real, options.fake), resolve_device(options.device)
    footage = FootageOptions(frames=options.frames, windows=options.windows, every=options.every)
    amount = CompareOptions(limit=options.limit, kernel=options.kernel)
    with progress_line() as show:

        def show_count(name: str, count: int) -> None:
            show(f"{name}: {count} samples")

        if options.model is not None:
            digest = digest_weights(start_model(options.model))
            result = compare_clips(sets, options.model, device, amount, show_count, model_sha256=digest)
        else:
            detector = FrechetDetector(FRECHET_PROTOCOLS[options.protocol], options.detector, device)
            result = compare_footage(sets, detector, footage, amount, show_count)
    print_answer(options, result.as_dict(), result.describe())
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise UserError for what cannot be compared, before torch is loaded."""
    ours = options.protocol == "avf"
    if (options.model is None) == ours:
        raise UserError(f"--protocol {options.protocol}: {'needs an encoder, --model' if ours else 'takes no --model'}")
    if (options.detector is None) != ours:
        raise UserError(
            f"--protocol {options.protocol}: {'takes no --detector' if ours else 'needs its network, --detector'}"
        )
    for path in (options.real, options.fake):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    if options.model is not None:
        from avf_training.inference.clip_input import require_input
        from avf_training.trainer.saved_model import require_model

        require_input(options.real)
        require_input(options.fake)
        require_model(options.model)
