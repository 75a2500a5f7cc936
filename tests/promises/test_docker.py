"""The files in docker/ are valid, their commands parse, and the instructions that build the images succeed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from avf_curation.cli.main import build_parser as curate_parser
from avf_curation.recipe import load_recipe as load_curation_recipe
from avf_shards.cli.main import build_parser as shards_parser
from avf_training.cli.main import build_parser as train_parser
from support.containers import service_words
from support.kuberay_fields import RAY_JOB_SPEC, wrong_fields

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
PARSERS = {"avf-curate": curate_parser, "avf-shards": shards_parser, "avf-train": train_parser}
# Changes the system's users: an image's business.
NOT_RUN_HERE = ["useradd --uid 10001 --create-home avf"]


def run_tool(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True)


def load_documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / name).read_text()))


def test_hadolint_reports_no_problem() -> None:
    done = run_tool("hadolint", str(DOCKER / "Dockerfile"))
    assert done.returncode == 0, done.stdout
    assert not done.stdout


def test_compose_files_follow_the_specification(tmp_path: Path) -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))
    assert done.returncode == 0, done.stdout
    has_compose = shutil.which("docker") and not subprocess.run(["docker", "compose", "version"]).returncode
    if has_compose:
        command = ["docker", "compose", "-f", str(DOCKER / "compose.yaml"), "config", "--quiet"]
        subprocess.run(command, check=True, env=os.environ | {"AVF_DATA": str(tmp_path), "AVF_RAY_TOKEN": "t"})


GIGABYTE = 1e9
ACTOR_GB = 1.5  # the target of docs/benchmarks.md, Memory
RAY_GB = 0.5 + 0.2  # its own processes on a node, and the object store


def test_every_service_is_locked() -> None:
    compose = load_documents("compose.yaml")[0]
    assert compose["networks"]["cluster"] == {"internal": True}
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "ports", "user"} & service.keys(), name
        assert service.get("network_mode") == "none" or service["networks"] == ["cluster"], name
        assert all(mount.endswith(":ro") for mount in service["volumes"] if "/data/in" in mount), name
        if service.get("networks"):
            assert service["environment"]["RAY_AUTH_MODE"] == "token", name
            assert service["secrets"] == ["ray_token"], name


def test_the_memory_of_a_worker_fits_its_actors_and_an_isolated_video() -> None:
    words = service_words("worker")
    cpus = next(int(word.partition("=")[2]) for word in words if word.startswith("--num-cpus="))
    worker = load_documents("compose.yaml")[0]["services"]["worker"]
    limit_gib = float(re.sub(r"\$\{\w+:-(\d+)g\}", r"\1", worker["mem_limit"]))
    isolated_gb = load_curation_recipe().run.video_memory_mb / 1e3
    temporary_gb = 1.3  # the two folders in memory
    assert limit_gib * 2**30 / GIGABYTE >= cpus * ACTOR_GB + isolated_gb + RAY_GB + temporary_gb


def test_kubernetes_accepts_the_jobs(tmp_path: Path) -> None:
    for name in ("torchrun-job.yaml", "default-deny.yaml"):
        validation = run_tool("kubernetes-validate", "--strict", str(DOCKER / name))
        assert validation.returncode == 0, validation.stdout + validation.stderr
    job = load_documents("kuberay-job.yaml")[0]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for number, policy in enumerate(load_documents("kuberay-job.yaml")[1:]):
        (tmp_path / f"policy-{number}.json").write_text(json.dumps(policy))
        validation = run_tool("kubernetes-validate", "--strict", str(tmp_path / f"policy-{number}.json"))
        assert validation.returncode == 0, validation.stdout + validation.stderr
    cluster = job["spec"]["rayClusterSpec"]
    assert wrong_fields(job["spec"], RAY_JOB_SPEC) == []
    assert job["spec"]["shutdownAfterJobFinishes"], "KubeRay refuses ttlSecondsAfterFinished without it"
    # The pods in KubeRay's resource are Kubernetes' own.
    for number, group in enumerate([cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]):
        pods = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": group["template"]}
        (tmp_path / f"{number}.json").write_text(json.dumps(pods))
        validation = run_tool("kubernetes-validate", "--strict", str(tmp_path / f"{number}.json"))
        assert validation.returncode == 0, validation.stdout + validation.stderr


def test_a_field_that_kuberay_does_not_have_is_seen() -> None:
    spec = load_documents("kuberay-job.yaml")[0]["spec"]
    spec["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    spec["ttlSecondsAfterFinished"] = "600"
    spec["rayClusterSpec"]["authOptions"]["mode"] = "password"
    del spec["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]
    assert wrong_fields(spec, RAY_JOB_SPEC) == [
        "spec.ttlSecondsAfterFinished: '600' is no int",
        "spec.rayClusterSpec.authOptions.mode: 'password' is none of disabled, token",
        "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus: 0 is no str",
        "spec.rayClusterSpec.workerGroupSpecs[0].groupName: missing",
        "spec.rayClusterSpec.workerGroupSpecs[0].maxReplica: unknown",
    ]


def pod_templates() -> Iterator[dict[str, Any]]:
    cluster = load_documents("kuberay-job.yaml")[0]["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]
    yield load_documents("torchrun-job.yaml")[-1]["spec"]["template"]


def test_every_pod_is_locked() -> None:
    for template in pod_templates():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert "memory" in container["resources"]["limits"]
            assert {"/tmp", "/home/avf"} <= mounts.keys()
            assert mounts.get("/data/in", {"readOnly": True})["readOnly"]
            assert "/data" not in mounts


def test_every_pod_has_a_network_policy_for_both_directions() -> None:
    documents = [*load_documents("kuberay-job.yaml"), *load_documents("torchrun-job.yaml")]
    closed = [
        document["spec"]["podSelector"]["matchLabels"]
        for document in documents
        if document["kind"] == "NetworkPolicy" and document["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ]
    *ray_pods, _ = pod_templates()
    for template in ray_pods:
        assert any(labels.items() <= template["metadata"]["labels"].items() for labels in closed)
    # Kubernetes itself gives the pods of a job this label.
    assert {"job-name": documents[-1]["metadata"]["name"]} in closed
    assert {"job-name": documents[0]["metadata"]["name"]} in closed, "the pod that sends the job"
    assert load_documents("kuberay-job.yaml")[0]["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_a_policy_closes_the_namespace_to_pods_without_one() -> None:
    (policy,) = load_documents("default-deny.yaml")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policy["kind"] == "NetworkPolicy"


def test_the_cluster_of_a_slurm_job_asks_for_a_token() -> None:
    script = (ROOT / "slurm/curate.sbatch").read_text("utf-8")
    before = script.partition("ray start")[0]
    assert 'install -m 600 /dev/null "$RAY_AUTH_TOKEN_PATH"' in before
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in before


def test_base_images_are_pinned_by_digest() -> None:
    """Each image that is not a stage of the file itself, with its argument's default filled in."""
    lines = (DOCKER / "Dockerfile").read_text("utf-8").splitlines()
    arguments = dict(line[4:].split("=", 1) for line in lines if line.startswith("ARG ") and "=" in line)
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    stages = [line.split()[3] for line in lines if line.startswith("FROM ") and " AS " in line]
    for name, value in arguments.items():
        images = [image.replace(f"${{{name}}}", value) for image in images]
    bases = [image for image in images if image not in stages]
    assert len(bases) == 2
    assert all(re.fullmatch(r".+@sha256:[0-9a-f]{64}", image) for image in bases)


def test_all_files_use_the_same_ray_version() -> None:
    import ray

    job = load_documents("kuberay-job.yaml")[0]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


def documented_commands() -> Iterator[list[str]]:
    """Every command line of ours in compose.yaml and the jobs."""
    services = load_documents("compose.yaml")[0]["services"]
    for name in ("curate", "pack", "train"):
        service = services[name]
        entry = service.get("entrypoint", ["avf-train"] if name == "train" else ["avf-curate"])
        yield [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in (*entry, *service["command"])]
    (script,) = (load_documents("kuberay-job.yaml")[0]["spec"]["entrypoint"],)
    for line in shlex.split(script)[2].split("&&"):
        yield shlex.split(line)
    pod = load_documents("torchrun-job.yaml")[-1]["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    yield command[command.index("--no-python") + 1 :]


@pytest.mark.parametrize("command", list(documented_commands()), ids=" ".join)
def test_documented_commands_parse(command: list[str]) -> None:
    assert PARSERS[command[0]]().parse_args(command[1:]).run


def test_the_training_job_fills_the_batch_of_its_recipe() -> None:
    from avf_training.config.pretrain import load_recipe

    *_, command = documented_commands()
    options = train_parser().parse_args(command[1:])
    job = load_documents("torchrun-job.yaml")[-1]["spec"]
    gpus = int(job["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    assert load_recipe(options.recipe, options.set).accumulation(gpus * job["parallelism"]) == 1


@dataclass
class Line:
    """An instruction of the Dockerfile, in its stage."""

    stage: str
    word: str
    rest: str


def run_instructions() -> list[Line]:
    text = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
    instructions, stage = [], ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        if word and not word.startswith("#"):
            instructions.append(Line(stage, word, rest))
    return instructions


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_run_instructions_of_the_images_succeed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each RUN line of the stages that build, with /opt moved to a folder of ours, and nothing of this environment."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    inherited = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_")) or "proxy" in k.lower()}
    environment = inherited | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/root")}
    not_run, folder = [], tmp_path
    for line in run_instructions():
        rest = line.rest.replace("/opt/", f"{tmp_path}/opt/")
        if line.word == "WORKDIR" and line.stage in ("environment", "code"):
            folder = Path(rest)
            folder.mkdir(parents=True)
        elif line.word == "ENV" and line.stage == "environment":
            environment |= dict(word.split("=", 1) for word in rest.split())
        elif line.word == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            for source in sources:
                copy_files(ROOT / source, folder / target / ("" if target == "./" else "."), target)
        elif line.word == "RUN":
            if line.rest in NOT_RUN_HERE:
                not_run.append(line.rest)
                continue
            command = re.sub(r"--mount=\S+ ", "", rest)
            done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert not_run == NOT_RUN_HERE
    with capsys.disabled():
        print("\nRUN lines that were not run here:", *not_run, sep="\n  ")
    path = f"{tmp_path}/opt/installed/bin:{tmp_path}/opt/avf/bin:/usr/bin:/bin"
    bare = {"PATH": path, "PYTHONPATH": f"{tmp_path}/opt/installed", "HOME": str(tmp_path)}
    for command in ("avf-curate --help", "avf-shards --help", "avf-train describe nano --batch 2"):
        done = subprocess.run(shlex.split(command), env=bare, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    result = subprocess.run(
        ["python", "-c", "from avf_training.config.pretrain import *; print(load_recipe('avfmaepp_b').batch)"],
        env=bare, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "1312\n"
    shutil.rmtree(tmp_path / "opt")  # 6 GB


def copy_files(source: Path, folder: Path, target: str) -> None:
    """As COPY does, but for what .dockerignore leaves out."""
    if source.is_dir():
        shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, folder / source.name)
