"""Checkpoints that authors publish, by the names of the models that they are of. Without torch.

Each field is what the owner's page, its README or its list of files said. No program of this project has fetched a file
of this table: what nobody has seen is empty. `avf-train weights pull` says which commit and which digest came.
"""

from dataclasses import dataclass

from avf_shards.errors import UserError
from avf_shards.settings.config import describe_unknown_key

from avf_training.models.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class PublishedCheckpoint:
    """A checkpoint as its owner publishes it: on the Hub, at an address, or on a page for people alone."""

    name: str  # as `avf-train weights` calls it; of an audio-visual model its preset
    title: str  # what it is
    owner: str  # repository of the authors' code
    paper: str
    licence: str  # as the owner states it
    page: str  # where a person finds it
    repository: str = ""  # on the Hub
    file: str = ""  # its name there, or in the authors' scripts
    address: str = ""  # of the file itself, where a program may fetch it
    size_bytes: int | None = None  # about; None: not known
    commit: str = ""  # start of the Hub's commit at which the file was listed
    is_detector: bool = False  # a network for `avf-train frechet`, kept as it is published
    md5: str = ""  # start of the file's MD5, as the owner prints it; none publishes a SHA-256


_MAE = "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_{}.pth"
_MAE_SIZES = (("mae_b", "base", "8cad7c"), ("mae_l", "large", "b8b06e"), ("mae_h", "huge", "9bdbb0"))
PUBLISHED = {
    checkpoint.name: checkpoint
    for checkpoint in (
        PublishedCheckpoint(
            name="avfmaepp_h",
            # 6.87 GB are twelve bytes for each of the 572.7 million parameters with both decoders: weights and the two
            # moments of AdamW.
            title="AVF-MAE++ Huge; by its size the pre-trained model with the state of its optimizer",
            owner="XuecWu/AVF-MAE",
            paper="Wu et al., CVPR 2025",
            licence="Apache-2.0 (the model's card)",
            page="https://huggingface.co/Conna/AVF-MAE",
            repository="Conna/AVF-MAE",
            file="AVF-MAE++_huge.pth",
            size_bytes=6_870_000_000,
            commit="b314286",
        ),
        PublishedCheckpoint(
            name="hicmae_b",
            title="HiCMAE-B, pre-trained on VoxCeleb2",
            owner="sunlicai/HiCMAE",
            paper="Sun et al., Information Fusion 2024, arXiv 2401.05698",
            licence="MIT (the repository)",
            page="https://drive.google.com/file/d/1mR2r-_LWmtTYl4pS_L3YlhKNCCnv_ZaE/view",
            file="checkpoint-99.pth",
        ),
        *(
            PublishedCheckpoint(
                name=name,
                title=f"encoder of MAE ViT-{size.capitalize()}, pre-trained on ImageNet-1K; pictures alone",
                owner="facebookresearch/mae",
                paper="He et al., CVPR 2022, arXiv 2111.06377",
                licence="CC-BY-NC-4.0 (the repository)",
                page="https://github.com/facebookresearch/mae",
                file=f"mae_pretrain_vit_{size}.pth",
                address=_MAE.format(size),
                md5=md5,
            )
            for name, size, md5 in _MAE_SIZES
        ),
        PublishedCheckpoint(
            name="i3d_torchscript",
            title="I3D of Kinetics-400 as TorchScript, for FVD by the protocols styleganv and common",
            owner="universome/stylegan-v",
            paper="Skorokhodov et al., CVPR 2022; I3D: Carreira and Zisserman, CVPR 2017",
            licence="not stated for the file; I3D's weights are Apache-2.0 (deepmind/kinetics-i3d)",
            page="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt",
            file="i3d_torchscript.pt",
            is_detector=True,
        ),
        PublishedCheckpoint(
            name="i3d_pretrained_400",
            title="I3D of Kinetics-400 as tensors, for FVD by the protocols videogpt and cdfvd",
            owner="wilson1yan/VideoGPT",
            paper="Yan et al., arXiv 2104.10157; I3D: Carreira and Zisserman, CVPR 2017",
            licence="not stated for the file; I3D's weights are Apache-2.0 (deepmind/kinetics-i3d)",
            page="https://drive.google.com/file/d/1mQK8KD8G6UWRa5t87SRMm5PVXtlpneJT/view",
            file="i3d_pretrained_400.pt",
            is_detector=True,
        ),
        PublishedCheckpoint(
            name="inception_2015",
            title="Inception of 2015-12-05 as TorchScript, for FID and KID by the protocol clean",
            owner="NVlabs/stylegan2-ada-pytorch",
            paper="Karras et al., NeurIPS 2020; clean-fid: Parmar et al., CVPR 2022",
            licence="not stated for the file",
            page="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
            file="inception-2015-12-05.pt",
            is_detector=True,
        ),
    )
}


def find_published(name: str) -> PublishedCheckpoint | None:
    """Return the checkpoint of a model; None for a model of this program of which none is published.

    Raises UserError for a name that is neither.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    if name not in PRESETS:
        raise UserError(describe_unknown_key(name, name, sorted({*PUBLISHED, *PRESETS}), "weights"))
    return None


def require_fetchable(name: str) -> PublishedCheckpoint:
    """Return the checkpoint of a model that a program may fetch. Raises UserError for others, with their way."""
    checkpoint = find_published(name)
    if checkpoint is None:
        raise UserError(
            f"{name}: no checkpoint of this model is published, as far as is known; published are "
            f"{', '.join(PUBLISHED)}. A checkpoint that you have: --from FILE"
        )
    if not (checkpoint.repository or checkpoint.address):
        raise UserError(
            f"{name}: {checkpoint.owner} publishes it on a page for people alone. Open {checkpoint.page} in a browser, "
            f"save the file, then add --from FILE. Licence: {checkpoint.licence}"
        )
    return checkpoint
