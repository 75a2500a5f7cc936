"""The fields of a RayJob of KubeRay (API ray.io/v1, release 1.6) with their types; no package brings its schema.

Types: str, int, bool, float; a table of fields; [type]: a list of it; {str: type}: any names; None: what others check.
"""

from typing import Any

_AUTOSCALER = {
    "version": str,
    "idleTimeoutSeconds": int,
    "upscalingMode": str,
    "image": str,
    "imagePullPolicy": str,
    **dict.fromkeys(("env", "envFrom", "resources", "securityContext", "volumeMounts")),
}
_GROUP = {"rayStartParams": {str: str}, "template": None, "labels": {str: str}, "resources": {str: str}}
_HEAD = _GROUP | {"serviceType": str, "headService": None, "enableIngress": bool}
_WORKERS = _GROUP | {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "idleTimeoutSeconds": int,
    "numOfHosts": int,
    "suspend": bool,
    "scaleStrategy": {"workersToDelete": [str]},
}
_CLUSTER = {
    "headGroupSpec": _HEAD,
    "workerGroupSpecs": [_WORKERS],
    "rayVersion": str,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": _AUTOSCALER,
    "authOptions": {"mode": str},
    "headServiceAnnotations": {str: str},
    "gcsFaultToleranceOptions": None,
    "upgradeStrategy": None,
    "managedBy": str,
    "suspend": bool,
}
RAY_JOB_SPEC = {
    "entrypoint": str,
    "rayClusterSpec": _CLUSTER,
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "submissionMode": str,
    "submitterPodTemplate": None,
    "submitterConfig": {"backoffLimit": int},
    "runtimeEnvYAML": str,
    "jobId": str,
    "metadata": {str: str},
    "clusterSelector": {str: str},
    "managedBy": str,
    "suspend": bool,
    "deletionStrategy": None,
    "entrypointNumCpus": float,
    "entrypointNumGpus": float,
    "entrypointResources": str,
    "preRunningDeadlineSeconds": int,
}


def wrong_fields(value: Any, fields: Any, where: str = "spec") -> list[str]:
    """Return what KubeRay would refuse or pass over in `value`: unknown names and other types, with their paths."""
    match fields:
        case None:
            return []
        case [entry]:
            return [
                text for number, each in enumerate(value) for text in wrong_fields(each, entry, f"{where}[{number}]")
            ]
        case dict() if isinstance(value, dict):
            wrong = []
            for name, each in value.items():
                if name not in fields and str not in fields:
                    wrong.append(f"{where}.{name}: unknown")
                else:
                    wrong += wrong_fields(each, fields.get(name, fields.get(str)), f"{where}.{name}")
            return wrong
    is_right = type(value) is fields or (fields is float and type(value) is int)
    return [] if is_right else [f"{where}: {value!r} is no {getattr(fields, '__name__', 'table')}"]
