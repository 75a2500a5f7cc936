"""What the files of the frame-level side hold: tracks, labels, folds, ensembles, features in time."""

from avf_shards.schema.versions import FileKind
from avf_training.framewise.combination.record import EnsembleRecord, FittingRecord, MemberRecord, VideoRecord
from avf_training.framewise.ensemble.fold_table import FoldRow, FoldTable
from avf_training.framewise.labels.label_track import label_schema
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES
from avf_training.framewise.labels.trained_videos import TrainedVideo, TrainedVideos
from avf_training.framewise.report.page import FrameReport
from avf_training.framewise.report.score_table import ReportedModel
from avf_training.framewise.report.tables import ProtocolLine, ReportedOutput, ReportedVideo
from avf_training.framewise.tracks.feature_track import track_schema
from avf_training.timed_features.frame_file import FrameHeader

from reference.file_contents import Contents

FRAME_CONTENTS: dict[FileKind, Contents] = {
    "feature track": Contents(
        about="A row for each frame of a person of a video, by one extractor. Its metadata say source, video_id, person, "
        "fps, extractor, extractor_settings, extractor_digest (of name, settings and weights), weights_sha256, "
        "inputs_sha256.",
        schema=track_schema(),
        keys={
            "frame": "number of the frame in its video, from 1, rising",
            "time_s": "when it is shown, in seconds of the video",
            "vector": "what the extractor says of it; float32 or float16, as many values as the extractor has",
        },
    ),
    "frame ensemble": Contents(
        about="What became of the plan of an ensemble: what was chosen and fitted, who answered which video, and the "
        "scores of the videos that are new to the members.",
        rows=EnsembleRecord,
        parts=(MemberRecord, VideoRecord, FittingRecord),
    ),
    "frame features": Contents(
        about="What a model hears or sees at each frame of an input, as safetensors: `times_s` (N,), the centre of each "
        "frame in seconds from the input's start, `audio` and `video` (N, L, D), where asked for. The text "
        "`frame_features` in the metadata is this object.",
        rows=FrameHeader,
        keys={"sha256": "of the other keys and of all tensors, in hexadecimal digits"},
    ),
    "frame folds": Contents(about="Which labelled videos are in which fold.", rows=FoldTable, parts=(FoldRow,)),
    "frame report": Contents(
        about="The numbers of the page of a frame-level task.",
        rows=FrameReport,
        parts=(ReportedModel, ReportedOutput, ReportedVideo, ProtocolLine),
    ),
    "frame result": Contents(
        about="The result of a sequence model on tracks: validation scores, and what ran.",
        keys={
            "task": "va, expr or au",
            "model": "of the recipe",
            "select": "mean, or apart: valence and arousal from an epoch each",
            "extractors": "whose tracks were read",
            "protocol": "ours or authors_code",
            "differences": "the 32 differences of papers and code: number, item, option, value, chosen (whose it is)",
            "training": "videos and valid_frames",
            "validation": "likewise, with the frames that the score is of (models of five rows a second read every so many): "
            "`scored_frames`, of these those with the prediction of another frame (`repeated`), and valid labels that are "
            "not scored (`left_out`)",
            "skipped": "a sentence for each labelled video that was not used",
            "absent_classes": "classes that no training frame has",
            "tracks_without_labels": "files of tracks of persons without labels",
            "trained_on": "train, or all: validation videos too, whose score then is of videos that were seen",
            "best": "score, valence, arousal -> metric, score, step (from 0), folder",
            "elm": "of a kernel machine: windows, kernel, exact, and the scores of each kernel and C",
        },
    ),
    "label track": Contents(
        about="A row for each labelled frame of a person of a video, of one task: here valence and arousal; expressions "
        "and action units have int8 columns, and -1 where not valid. The metadata say task, classes, source, video_id, "
        "person, person_name, group (what stays together in folds), split, scene, fps.",
        schema=label_schema(TASKS_OF_FRAMES["va"]),
        keys={
            "frame": "number of the frame in its video, from 1, rising",
            "time_s": "when it is shown, in seconds of the video",
            "valence": "-1 to 1; null where not valid",
            "arousal": "likewise",
        },
    ),
    "speech result": Contents(
        about="The result of avf-train train-speech: the epoch with the best score on validation windows.",
        keys={
            "task": "va, expr or both",
            "version": "V1, V2 or V3",
            "protocol": "ours or authors_code",
            "differences": "of the 32 options: number, option, value, and whose choice it is",
            "windows": "number of windows for training and for validation",
            "skipped": "a sentence for each labelled video without sound or voice",
            "best": "step, scores, and the folder of the model",
        },
    ),
    "trained videos": Contents(
        about="Which videos and people a model was trained on, beside its predictions; of an extractor in its run, beside its "
        "models and beside its tracks.",
        rows=TrainedVideos,
        parts=(TrainedVideo,),
    ),
}
