"""The data set `interviews_mood`: which mood the interviewer noted, tested on people who are not trained on."""

from avf_training.tasks.catalog import Dataset

DATASET = Dataset(
    name="interviews_mood",
    title="Interviews",
    source="interviews",  # as the corpus of this package is called
    labels=("calm", "glad", "sad"),
    label_field="mood",
    split="subject_blocks",
    folds=5,
)
