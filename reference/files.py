"""What each kind of file holds that runs, shards and models consist of; file_page.py makes the page."""

from avf_curation.audit.gate_evidence import GateEvidence
from avf_curation.detectors.sync_head_file import HeadCard
from avf_curation.execution.active_units import ActiveUnit
from avf_curation.execution.events import Event
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.runs import plan_table
from avf_curation.runs.cost_estimate import SourceTotals
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.format.denylist import Denial
from avf_shards.format.file_digests import LedgerDigests
from avf_shards.format.index import ShardIndex
from avf_shards.format.picture_record import PictureRecord
from avf_shards.format.plan_summary import PlanSummary
from avf_shards.format.run_folder import UnitManifest
from avf_shards.format.run_identity import RunIdentity
from avf_shards.format.shard_manifest import OriginalShard, ShardEntry, ShardManifest, Tombstone
from avf_shards.format.tar import Member
from avf_shards.packing.cut_list import Cut
from avf_shards.packing.pack import PackIdentity
from avf_shards.packing.selection import SELECTION_SCHEMA, RejectedClip
from avf_shards.schema import ledger, measurements
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.forgery import ForgedSegment, Forgery
from avf_shards.schema.labels import Labels, Origin
from avf_shards.schema.versions import FileKind
from avf_training.evaluation.detection_metrics import FakeBin, KindScores
from avf_training.expert.prompt_set import PromptedClip, PromptPicture, PromptSet
from avf_training.finetuning.model_selection import EpochScores
from avf_training.inference.embeddings import features_schema
from avf_training.inference.feature_kinds import KINDS, LAYER_KINDS
from avf_training.study.detection_numbers import DetectionReport, DetectionScore, FileLine
from avf_training.tasks.learned_clips import LEARNED_SCHEMA

from reference.file_contents import Contents
from reference.frame_files import FRAME_CONTENTS

_FRAMES = {
    "start_frame": "first frame of the span, on the 25 fps timeline of the video",
    "stop_frame": "frame after the last of the span",
}
_PLAN = {
    "unit": "number of the unit in which the video is decided",
    "path": "of the input, relative to the folder of its source; bytes, because file names need not be UTF-8",
    "labels": "JSON of the labels of a labelled corpus",
}
_STAGES = (
    measurements.ScenesMeasurements,
    measurements.FacesMeasurements,
    measurements.SilenceMeasurements,
    measurements.TrackMeasurements,
    measurements.SpeakerMeasurements,
    measurements.SyncMeasurements,
    measurements.QualityMeasurements,
)
CONTENTS: dict[FileKind, Contents] = {
    "active unit": Contents(about="What a worker is at, for `avf-curate status`.", rows=ActiveUnit),
    "checkpoint": Contents(
        about="The manifest of one checkpoint, written last: a checkpoint without it does not count.",
        keys={
            "step": "last optimizer step of the checkpoint, from 0",
            "files": "file name -> bytes and SHA-256",
            "state": "position of the data stream, and the state of the loss scaler",
        },
    ),
    "clip record": Contents(
        about="The metadata of one clip, beside its picture and sound in the shard.",
        rows=ClipRecord,
        parts=(ledger.Check, Labels, Forgery, ForgedSegment, Origin, *_STAGES),
    ),
    "curation run": Contents(about="What every result of the run depends on.", rows=RunIdentity),
    "cut list": Contents(
        about="Which part of which file each clip is, one JSON object a line; a table has `left_px`, `top_px`, `right_px` "
        "and `bottom_px` in place of `crop_px`.",
        rows=Cut,
    ),
    "denylist": Contents(
        about="What one takedown forbids; the denylist of a folder is the union of its files, named by their content.",
        keys={"entries": "what is forbidden"},
        parts=(Denial,),
    ),
    "evaluation scores": Contents(
        about="One JSON object a line for each evaluation during pre-training.",
        keys={"step": "from 0", "score": "name of the score -> value, as mse/mean patch and R@1/chance"},
    ),
    "event": Contents(about="What happened in a run, one JSON object a line.", rows=Event, keys={"time": "Unix time"}),
    "detector": Contents(
        about="Where the file of a network for `avf-train frechet` came from, beside the file.",
        keys={
            "name": "as `avf-train weights` calls it",
            "from": "address, or name of the user's file",
            "sha256": "of the file",
            "owner": "repository of its owners",
            "licence": "as they state it",
        },
    ),
    "expert projector": Contents(
        about="The weights that make embeddings of a language model from an encoder's tokens, in the metadata "
        "`expert_projector`.",
        keys={"width": "of the encoder's tokens", "hidden": "of the language model's embeddings"},
    ),
    "expert prompts": Contents(
        about="A set of prompts for multimodal language models, with what scoring needs.",
        rows=PromptSet,
        keys={"digest": "SHA-256 of everything that an answer depends on; each line of prompts.jsonl has it"},
        parts=(PromptedClip, PromptPicture),
    ),
    "expert tokens": Contents(
        about="The tokens of each clip under its key, (K, C), and in the metadata `expert_tokens` where they are from.",
        keys={
            "dataset": "name of the data set",
            "protocol": "by which the epochs of the runs were selected",
            "kind": "regions, or frames",
        },
    ),
    "detection report": Contents(
        about="The numbers of the page of a detector of fakes.",
        rows=DetectionReport,
        parts=(DetectionScore, KindScores, FakeBin, FileLine),
    ),
    "features": Contents(
        about="A row for each window of each clip.",
        schema=features_schema((*KINDS, *LAYER_KINDS)),
        keys={
            "key": "of the clip",
            "source": "name of the source of its video",
            "video_id": "of its video",
            "person": "number of the person in the video, from 0",
            "start_s": "start of the window, in seconds of the video",
            "stop_s": "end of the window, in seconds of the video",
            "video": "mean of the video tokens",
            "audio": "mean of the audio tokens",
            "fused": "input of the classifier's head",
            "regions_video": "region tokens of the video, K x C",
            "regions_audio": "region tokens of the audio, K x C",
            "layers_video": "mean of the tokens of each layer of the video encoder, L x C; where asked for",
            "layers_audio": "mean of the tokens of each layer of the audio encoder, L x C; where asked for",
            "frames": "one vector for each pair of the 16 frames",
        },
    ),
    "attempt ledger": Contents(
        about="The digests of a finished attempt's ledger and of the manifests of its units.", rows=LedgerDigests
    ),
    "gate evidence": Contents(
        about="How often each gate is right, as `python -m benchmarks.gates` measured it: `gates`, a list.",
        rows=GateEvidence,
    ),
    "learned clips": Contents(
        about="What a model has learned from, in this stage and in those before it.",
        schema=LEARNED_SCHEMA,
        keys={
            "digest": "first 16 bytes of the SHA-256 of a recording, person or film, or of the key of a labelled clip",
            "labelled": "learned with labels, or used to select an epoch; false: seen by pre-training",
        },
    ),
    "ledger": Contents(
        about="A row for each decision: the end of each span of each video.",
        rows=ledger.Decision,
        schema=ledger.SCHEMA,
        keys=_FRAMES,
        parts=(ledger.Check,),
    ),
    "pack": Contents(about="What a folder of shards was packed from; frozen at the first start.", rows=PackIdentity),
    "picture record": Contents(
        about="The metadata of one face picture, beside the picture in the shard.",
        rows=PictureRecord,
        parts=(ledger.Check, Labels),
    ),
    "plan": Contents(about="A row for each input of a run.", rows=Video, schema=plan_table.SCHEMA, keys=_PLAN),
    "plan summary": Contents(about="Tells two runs apart.", rows=PlanSummary),
    "predictions": Contents(
        about="The predictions of a test, clip by clip.",
        keys={
            "names": "of the outputs, in order",
            "keys": "of the clips",
            "truth": "label or values of each clip",
            "scores": "of each clip, one number for each output",
            "unreadable": "keys of clips that could not be read",
            "windows": "of detection: of each clip by key, start in seconds of the clip and probability of a fake",
        },
    ),
    "replay snapshot": Contents(
        about="What `avf-train replay` repeats after a loss that was not finite.",
        keys={
            "step": "optimizer step, from 0",
            "world": "number of ranks",
            "rank": "of the file",
            "first": "position of the step in the stream",
            "scale": "of the loss scaler",
            "keys": "of the clips, a list for each micro-batch",
        },
    ),
    "saved model": Contents(
        about="The model beside the weights: which class, and every field of its preset.",
        keys={
            "kind": "class of the model",
            "model": "fields of the preset (see Training recipes)",
            "outputs": "number of outputs of a classifier",
            "origin": "of `avf-train weights pull`: name, where it came from, SHA-256 of the checkpoint, licence",
        },
    ),
    "selection": Contents(
        about="A row for each kept clip of the run: selected, or why not.",
        rows=RejectedClip,
        schema=SELECTION_SCHEMA,
        keys={"selected": "whether the clip is in the shards", "key": "of the clip"},
    ),
    "shard index": Contents(
        about="The sidecar of a shard. Each member is a list: name, offset, size, CRC-32.",
        rows=ShardIndex,
        parts=(Member,),
    ),
    "shard manifest": Contents(
        about="The shards of a folder. It holds the digest of its own content (`self_sha256`), so that damage is noticed.",
        rows=ShardManifest,
        parts=(ShardEntry, OriginalShard, Tombstone),
    ),
    "skipped inputs": Contents(
        about="A row for each file or table row of a source that is no input.",
        rows=SkippedInput,
        schema=plan_table.SKIPPED_SCHEMA,
    ),
    "source folders": Contents(
        about="Where the sources were read on this machine.", keys={"folders": "source -> folder"}
    ),
    "source totals": Contents(
        about="The size of the whole sources that a sample was drawn from.",
        keys={"sources": "source -> its totals"},
        parts=(SourceTotals,),
    ),
    "step metrics": Contents(
        about="One JSON object a line for each step; steps that a resumed run repeats are written once.",
        keys={
            "step": "from 0",
            "loss": "mean over micro-batches and ranks, as are its parts, which have keys of their own",
            "lr": "learning rate, before the factors of parameter groups",
            "grad_norm": "before clipping",
            "skipped": "the loss or the gradient was not finite, so no weight changed",
        },
    ),
    "study results": Contents(
        about="The results of a study, as its page shows them.",
        keys={
            "title": "of the study",
            "note": "printed on the page",
            "rows": "row, dataset, protocol, done and planned runs, scores of each seed",
            "compared": "sentences that compare a row with the row that lacks one thing",
        },
    ),
    "fold results": Contents(
        about="The scores of all folds of a data set, as shares of 1.",
        keys={
            "data": "name of the data set",
            "folds": "their numbers",
            "protocols": "protocol -> clips, people (or sessions) and scores: of each fold, mean, deviation, pooled, interval",
        },
    ),
    "sync head": Contents(
        about="The text `sync_head` in the metadata of a safetensors file: how a sync network was learnt.",
        rows=HeadCard,
    ),
    "test result": Contents(
        about="The result of fine-tuning: scores by each of the three protocols.",
        keys={
            "task": "data set and fold",
            "data": "name of the data set",
            "selection_metric": "that selects the epoch",
            "train": "number of clips",
            "validation": "number of clips",
            "test": "number of clips",
            "protocols": "protocol -> step, selection_score, scores (value, interval, undefined), unreadable, calibration",
        },
    ),
    "throughput": Contents(
        about="One JSON object a line every `log_every` steps: the speed since the line before.",
        keys={
            "step": "from 0",
            "clips_per_s": "of all ranks",
            "step_s": "seconds a step",
            "waited_share": "share of the time that rank 0 waited for data",
            "computed_share": "share of the time inside steps",
            "teraflops_per_device": "of the model's forward and backward passes",
            "mfu": "share of the device's rate of matrix products, measured at the start",
        },
    ),
    "training run": Contents(
        about="What every result of a training run depends on; another recipe or data needs another folder.",
        keys={
            "recipe": "every setting that changes the result",
            "stream": "digest of the order of the clips (pre-training)",
            "start": "digest of the model that training starts from (fine-tuning)",
            "inherited_keys": "clips that this model was trained on (fine-tuning)",
            "summary": "counts of the task (fine-tuning)",
        },
    ),
    "stored folder": Contents(
        about="A folder in an object store: it exists if and only if this object does.",
        keys={
            "inside": "the content of its small files, in Base64, by their names in the folder",
            "parts": "its large files: `size_bytes` and `sha256`, which names the object `parts/SHA256` beside it",
        },
    ),
    "unit": Contents(about="A committed unit: it exists if and only if its folder does.", rows=UnitManifest),
    "unit log entry": Contents(
        about="The costs of each unit, one JSON object a line.",
        rows=UnitReport,
        keys={"time": "Unix time of the commit", "attempt": "number of the attempt"},
    ),
    "validation scores": Contents(about="The scores after each epoch, one JSON object a line.", rows=EpochScores),
    **FRAME_CONTENTS,
}
