"""Our own corpora of videos: the modules that read them, in the order of lists."""

from avf_curation.sources import (
    aff_wild2,
    aff_wild2_aligned,
    av_deepfake1m,
    avcaffe,
    avspeech,
    bp4d,
    casme2,
    casme3,
    celebvhq,
    cncvs,
    crema_d,
    dfdc,
    dfew,
    dfme,
    fakeavceleb,
    ffpp,
    iemocap,
    lav_df,
    mafw,
    mer2024_labelled,
    mer2024_unlabelled,
    mer_multi,
    mmew,
    msp_improv,
    ravdess,
    samm,
    smic,
    voxceleb2,
    werewolf_xl,
)
from avf_curation.sources.plugins import make_corpus_reader

_MODULES = (
    *(voxceleb2, avspeech, mer2024_unlabelled, cncvs, celebvhq),
    *(mafw, dfew, mer_multi, mer2024_labelled, iemocap, crema_d, ravdess, msp_improv, werewolf_xl, avcaffe),
    *(samm, casme2, smic, casme3, mmew, dfme),
    *(aff_wild2, aff_wild2_aligned, bp4d),
    *(av_deepfake1m, lav_df, fakeavceleb, dfdc, ffpp),
)
#: Unlabelled corpora first. Every other source name is a plain folder, labelled where it holds a labels.csv.
CORPORA = tuple(make_corpus_reader(module) for module in _MODULES)
