"""The fields of a RayJob of KubeRay (API ray.io/v1) with their types, written as a table of our own.

Compared field by field with the API reference that KubeRay 1.7.0 publishes, which is generated from the types of its
schema. What docker/kuberay-job.yaml names is there since 1.6 or earlier; `authOptions` is the newest of it.

Types: str, int, bool, float; (words): one of them; a table of fields; [type]: a list of it; {str: type}: any names;
None: what others check.
"""

from typing import Any

_REQUIRED = {"headGroupSpec", "template", "groupName", "minReplicas", "maxReplicas"}  # in each table that has them
_AUTOSCALER = {
    "version": ("v1", "v2"),
    "idleTimeoutSeconds": int,
    "upscalingMode": ("Default", "Aggressive", "Conservative"),
    "image": str,
    "imagePullPolicy": str,
    "command": [str],
    "args": [str],
    **dict.fromkeys(("env", "envFrom", "resources", "securityContext", "volumeMounts")),
}
_GROUP = {"rayStartParams": {str: str}, "template": None, "labels": {str: str}, "resources": {str: str}}
_HEAD = _GROUP | {"serviceType": str, "headService": None, "enableIngress": bool, "ingressOptions": None}
_WORKERS = _GROUP | {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "idleTimeoutSeconds": int,
    "priority": int,
    "numOfHosts": int,
    "suspend": bool,
    "scaleStrategy": {"workersToDelete": [str]},
}
_MANAGERS = ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
_CLUSTER = {
    "headGroupSpec": _HEAD,
    "workerGroupSpecs": [_WORKERS],
    "rayVersion": str,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": _AUTOSCALER,
    "authOptions": {"mode": ("disabled", "token"), "secretName": str, "enableK8sTokenAuth": bool},
    "headServiceAnnotations": {str: str},
    "gcsFaultToleranceOptions": None,
    "historyServerOptions": None,
    "networkPolicy": None,
    "tlsOptions": {"enabled": bool},
    "upgradeStrategy": {"type": ("Recreate", "None")},
    "managedBy": _MANAGERS,
    "suspend": bool,
}
RAY_JOB_SPEC = {
    "entrypoint": str,
    "rayClusterSpec": _CLUSTER,
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "submitterPodTemplate": None,
    "submitterConfig": {"backoffLimit": int},
    "runtimeEnvYAML": str,
    "jobId": str,
    "metadata": {str: str},
    "clusterSelector": {str: str},
    "managedBy": _MANAGERS,
    "suspend": bool,
    "deletionStrategy": None,
    "entrypointNumCpus": float,
    "entrypointNumGpus": float,
    "entrypointResources": str,
    "preRunningDeadlineSeconds": int,
}


def wrong_fields(value: Any, fields: Any, where: str = "spec") -> list[str]:
    """Return what KubeRay would refuse or pass over in `value`, with paths: names unknown or missing, other types."""
    match fields:
        case None:
            return []
        case [entry]:
            return [
                text for number, each in enumerate(value) for text in wrong_fields(each, entry, f"{where}[{number}]")
            ]
        case dict() if isinstance(value, dict):
            wrong = [f"{where}.{name}: missing" for name in fields if name in _REQUIRED and name not in value]
            for name, each in value.items():
                if name not in fields and str not in fields:
                    wrong.append(f"{where}.{name}: unknown")
                else:
                    wrong += wrong_fields(each, fields.get(name, fields.get(str)), f"{where}.{name}")
            return wrong
        case tuple():
            return [] if value in fields else [f"{where}: {value!r} is none of {', '.join(fields)}"]
    is_right = type(value) is fields or (fields is float and type(value) is int)
    return [] if is_right else [f"{where}: {value!r} is no {getattr(fields, '__name__', 'table')}"]
