# SPDX-License-Identifier: Apache-2.0
"""Every field of the v1 Pod (Kubernetes 1.37) and what becomes of it: honoured, without effect, or refused and why.

Honoured is what `podfast.spec.model` has; `OTHERS` says what becomes of the rest, type by type. A refused or
ineffective field decides for all that is below it: the names there are in `BELOW`, for the documentation and for later.
The tests hold this against the model and against Kubernetes' own number of fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from podfast.spec import model

__all__ = ["BELOW", "KUBERNETES", "OTHERS", "Field", "Row", "table"]


class Field(NamedTuple):
    """What becomes of a field that the model does not have.

    `refused` fields end the loading with `reason`, except where the value asks for nothing: one of `neutral`, or an
    empty list. The others are left out, and `reason` says why that does no harm.
    """

    refused: bool
    reason: str
    neutral: tuple[Any, ...] = ()


class Row(NamedTuple):
    """One line of the documentation: `type` is Kubernetes' name, `verdict` honoured, without effect or refused."""

    type: str
    field: str
    verdict: str
    reason: str


def _refused(reason: str, *neutral: Any) -> Field:
    return Field(True, reason, neutral)


def _idle(reason: str) -> Field:
    return Field(False, reason)


_LATER = _refused("is not supported yet")
_CLUSTER = _refused("needs a cluster: podfast runs pods on one machine")
_WINDOWS = _refused("is for Windows: podfast runs on Linux")
_STORAGE = _refused("needs a storage system that podfast does not attach; mount it on the host and use hostPath")
_REMOVED = _refused("has been removed from Kubernetes, and podfast never had it")
_NO_WORKLOAD = _refused("needs a scheduler with claims of devices, which one machine does not have")
_SERVER = _idle("set by an API server; a run of the pod gets its own")
_PLACED = _idle("decides about nodes; here is only one")
_ACCOUNT = _idle("concerns the cluster's API, which the pod does not see here")

# The model's name for a type, where Kubernetes' is another.
KUBERNETES = {
    "Document": "Pod",
    "EmptyDir": "EmptyDirVolumeSource",
    "HostPath": "HostPathVolumeSource",
    "Resources": "ResourceRequirements",
}

OTHERS: dict[str, dict[str, Field]] = {
    "Document": {"status": _SERVER},
    "ObjectMeta": {
        "generateName": _refused("is not supported yet: give metadata.name"),
        "selfLink": _SERVER,
        "uid": _SERVER,
        "resourceVersion": _SERVER,
        "generation": _SERVER,
        "creationTimestamp": _SERVER,
        "deletionTimestamp": _refused("marks a pod that is being deleted"),
        "deletionGracePeriodSeconds": _refused("marks a pod that is being deleted"),
        "ownerReferences": _SERVER,
        "finalizers": _CLUSTER,
        "managedFields": _SERVER,
    },
    "PodSpec": {
        "initContainers": _LATER,
        "ephemeralContainers": _refused("is set on a running pod, never in a manifest"),
        "activeDeadlineSeconds": _LATER,
        "dnsPolicy": _LATER,
        "nodeSelector": _refused("needs a cluster: podfast runs pods on one machine", {}),
        "serviceAccountName": _ACCOUNT,
        "serviceAccount": _ACCOUNT,
        "automountServiceAccountToken": _ACCOUNT,
        "nodeName": _LATER,
        "hostNetwork": _refused("is not supported yet", False),
        "hostPID": _refused("is not supported yet", False),
        "hostIPC": _refused("is not supported yet", False),
        "imagePullSecrets": _LATER,
        "hostname": _LATER,
        "subdomain": _LATER,
        "affinity": _refused("is not supported yet", {}),
        "schedulerName": _PLACED,
        "tolerations": _PLACED,
        "hostAliases": _LATER,
        "priorityClassName": _CLUSTER,
        "priority": _refused("is not supported yet", 0),
        "dnsConfig": _LATER,
        "readinessGates": _LATER,
        "runtimeClassName": _LATER,
        "enableServiceLinks": _idle("announces a cluster's services; here are none"),
        "preemptionPolicy": _refused("is not supported yet", "PreemptLowerPriority"),
        "overhead": _refused("is not supported yet", {}),
        "topologySpreadConstraints": _LATER,
        "setHostnameAsFQDN": _refused("is not supported yet", False),
        "os": _refused("must be linux, where podfast runs", {"name": "linux"}),
        "hostUsers": _refused("is not supported yet", True),
        "schedulingGates": _LATER,
        "resourceClaims": _NO_WORKLOAD,
        "resources": _refused("is not supported yet: give resources to the containers", {}),
        "hostnameOverride": _LATER,
        "schedulingGroup": _LATER,
        "evictionResponders": _CLUSTER,
    },
    "PodSecurityContext": {
        "seLinuxOptions": _LATER,
        "windowsOptions": _WINDOWS,
        "runAsNonRoot": _refused("is not supported yet", False),
        "supplementalGroups": _LATER,
        "supplementalGroupsPolicy": _LATER,
        "fsGroup": _LATER,
        "sysctls": _LATER,
        "fsGroupChangePolicy": _LATER,
        "seccompProfile": _refused("is not supported yet: the annotation podfast.dev/seccomp chooses"),
        "appArmorProfile": _LATER,
        "seLinuxChangePolicy": _LATER,
    },
    "Container": {
        "envFrom": _LATER,
        "resizePolicy": _LATER,
        "restartPolicy": _LATER,
        "restartPolicyRules": _LATER,
        "volumeDevices": _LATER,
        "livenessProbe": _LATER,
        "readinessProbe": _LATER,
        "startupProbe": _LATER,
        "lifecycle": _LATER,
        "terminationMessagePath": _LATER,
        "terminationMessagePolicy": _LATER,
        "imagePullPolicy": _refused("is not supported yet: images are never pulled", "IfNotPresent", "Never"),
        "stdin": _refused("is not supported yet", False),
        "stdinOnce": _refused("is not supported yet", False),
        "tty": _refused("is not supported yet", False),
    },
    "ContainerPort": {
        "hostPort": _refused("is not supported yet", 0),
        "hostIP": _refused("is not supported yet", ""),
    },
    "EnvVar": {"valueFrom": _LATER},
    "VolumeMount": {
        "recursiveReadOnly": _refused("is not supported yet", "Disabled"),
        "subPath": _refused("is not supported yet", ""),
        "mountPropagation": _refused("is not supported yet", "None"),
        "subPathExpr": _refused("is not supported yet", ""),
        "bindMountOptions": _LATER,
    },
    "Resources": {"claims": _NO_WORKLOAD},
    "ResourceList": {
        "ephemeral-storage": _LATER,
    },
    "SecurityContext": {
        "seLinuxOptions": _LATER,
        "windowsOptions": _WINDOWS,
        "runAsNonRoot": _refused("is not supported yet", False),
        "procMount": _refused("is not supported yet", "Default"),
        "seccompProfile": _refused("is not supported yet: the annotation podfast.dev/seccomp chooses"),
        "appArmorProfile": _LATER,
    },
    "EmptyDir": {"mode": _LATER},
    "Volume": {
        "secret": _LATER,
        "configMap": _LATER,
        "downwardAPI": _LATER,
        "projected": _LATER,
        "persistentVolumeClaim": _LATER,
        "ephemeral": _LATER,
        "image": _LATER,
        "nfs": _LATER,
        "gcePersistentDisk": _STORAGE,
        "awsElasticBlockStore": _STORAGE,
        "gitRepo": _refused("is refused by Kubernetes, too: clone in a container"),
        "iscsi": _STORAGE,
        "glusterfs": _REMOVED,
        "rbd": _REMOVED,
        "flexVolume": _STORAGE,
        "cinder": _STORAGE,
        "cephfs": _REMOVED,
        "flocker": _REMOVED,
        "fc": _STORAGE,
        "azureFile": _STORAGE,
        "vsphereVolume": _STORAGE,
        "quobyte": _REMOVED,
        "azureDisk": _STORAGE,
        "photonPersistentDisk": _REMOVED,
        "portworxVolume": _STORAGE,
        "scaleIO": _REMOVED,
        "storageos": _REMOVED,
        "csi": _STORAGE,
    },
}


def table() -> Iterator[Row]:
    """The whole table: every field of every type that a Pod's spec and metadata are made of, in the model's order."""
    for kind in model.STRUCTS:
        name = kind.__name__
        for field in msgspec.structs.fields(kind):
            yield Row(KUBERNETES.get(name, name), field.encode_name, "honoured", "")
        for other, fate in OTHERS.get(name, {}).items():
            verdict = "refused" if fate.refused else "without effect"
            yield Row(KUBERNETES.get(name, name), other, verdict, fate.reason)
    for name, fields in BELOW.items():
        for field_name in fields.split():
            yield Row(name, field_name, "below", "as the field that leads here")


# What stands below fields that the model does not have: type → names of its fields.
BELOW = {
    "AWSElasticBlockStoreVolumeSource": "volumeID fsType partition readOnly",
    "Affinity": "nodeAffinity podAffinity podAntiAffinity",
    "AppArmorProfile": "type localhostProfile",
    "AzureDiskVolumeSource": "diskName diskURI cachingMode fsType readOnly kind",
    "AzureFileVolumeSource": "secretName shareName readOnly",
    "CSIVolumeSource": "driver readOnly fsType volumeAttributes nodePublishSecretRef",
    "CephFSVolumeSource": "monitors path user secretFile secretRef readOnly",
    "CinderVolumeSource": "volumeID fsType readOnly secretRef",
    "ClusterTrustBundleProjection": "name signerName labelSelector optional path user",
    "ConfigMapEnvSource": "name optional",
    "ConfigMapKeySelector": "name key optional",
    "ConfigMapProjection": "name items optional",
    "ConfigMapVolumeSource": "name items defaultMode optional defaultUser",
    "ContainerResizePolicy": "resourceName restartPolicy",
    "ContainerRestartRule": "action exitCodes",
    "ContainerRestartRuleOnExitCodes": "operator values",
    "DownwardAPIProjection": "items",
    "DownwardAPIVolumeFile": "path fieldRef resourceFieldRef mode user",
    "DownwardAPIVolumeSource": "items defaultMode defaultUser",
    "EnvFromSource": "prefix configMapRef secretRef",
    "EnvVarSource": "fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef",
    "EphemeralContainer": (
        "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy "
        "restartPolicyRules volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle "
        "terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty "
        "targetContainerName"
    ),
    "EphemeralVolumeSource": "volumeClaimTemplate",
    "EvictionResponder": "name priority",
    "ExecAction": "command",
    "FCVolumeSource": "targetWWNs lun fsType readOnly wwids",
    "FileKeySelector": "volumeName path key optional",
    "FlexVolumeSource": "driver fsType secretRef readOnly options",
    "FlockerVolumeSource": "datasetName datasetUUID",
    "GCEPersistentDiskVolumeSource": "pdName fsType partition readOnly",
    "GRPCAction": "port service mode",
    "GitRepoVolumeSource": "repository revision directory",
    "GlusterfsVolumeSource": "endpoints path readOnly",
    "HTTPGetAction": "path port host scheme httpHeaders protocol",
    "HTTPHeader": "name value",
    "HostAlias": "ip hostnames",
    "ISCSIVolumeSource": (
        "targetPortal iqn lun iscsiInterface fsType readOnly portals chapAuthDiscovery chapAuthSession secretRef "
        "initiatorName"
    ),
    "ImageVolumeSource": "reference pullPolicy",
    "KeyToPath": "key path mode user",
    "LabelSelector": "matchLabels matchExpressions",
    "LabelSelectorRequirement": "key operator values",
    "Lifecycle": "postStart preStop stopSignal",
    "LifecycleHandler": "exec httpGet tcpSocket sleep",
    "LocalObjectReference": "name",
    "ManagedFieldsEntry": "manager operation apiVersion time fieldsType fieldsV1 subresource",
    "NFSVolumeSource": "server path readOnly",
    "NodeAffinity": "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
    "NodeSelector": "nodeSelectorTerms",
    "NodeSelectorRequirement": "key operator values",
    "NodeSelectorTerm": "matchExpressions matchFields",
    "ObjectFieldSelector": "apiVersion fieldPath",
    "OwnerReference": "apiVersion kind name uid controller blockOwnerDeletion",
    "PersistentVolumeClaimSpec": (
        "accessModes selector resources volumeName storageClassName volumeMode dataSource dataSourceRef "
        "volumeAttributesClassName"
    ),
    "PersistentVolumeClaimTemplate": "metadata spec",
    "PersistentVolumeClaimVolumeSource": "claimName readOnly",
    "PhotonPersistentDiskVolumeSource": "pdID fsType",
    "PodAffinity": "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
    "PodAffinityTerm": "labelSelector namespaces topologyKey namespaceSelector matchLabelKeys mismatchLabelKeys",
    "PodAntiAffinity": (
        "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution"
    ),
    "PodCertificateProjection": (
        "signerName keyType maxExpirationSeconds credentialBundlePath keyPath certificateChainPath userAnnotations user"
    ),
    "PodDNSConfig": "nameservers searches options",
    "PodDNSConfigOption": "name value",
    "PodOS": "name",
    "PodReadinessGate": "conditionType",
    "PodResourceClaim": "name resourceClaimName resourceClaimTemplateName",
    "PodSchedulingGate": "name",
    "PodSchedulingGroup": "podGroupName",
    "PortworxVolumeSource": "volumeID fsType readOnly",
    "PreferredSchedulingTerm": "weight preference",
    "Probe": (
        "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold "
        "failureThreshold terminationGracePeriodSeconds"
    ),
    "ProjectedVolumeSource": "sources defaultMode defaultUser",
    "QuobyteVolumeSource": "registry volume readOnly user group tenant",
    "RBDVolumeSource": "monitors image fsType pool user keyring secretRef readOnly",
    "ResourceClaim": "name request",
    "ResourceFieldSelector": "containerName resource divisor",
    "SELinuxOptions": "user role type level",
    "ScaleIOVolumeSource": (
        "gateway system secretRef sslEnabled protectionDomain storagePool storageMode volumeName fsType readOnly"
    ),
    "SeccompProfile": "type localhostProfile",
    "SecretEnvSource": "name optional",
    "SecretKeySelector": "name key optional",
    "SecretProjection": "name items optional",
    "SecretVolumeSource": "secretName items defaultMode optional defaultUser",
    "ServiceAccountTokenProjection": "audience expirationSeconds path user",
    "SleepAction": "seconds",
    "StorageOSVolumeSource": "volumeName volumeNamespace fsType readOnly secretRef",
    "Sysctl": "name value",
    "TCPSocketAction": "port host",
    "Toleration": "key operator value effect tolerationSeconds",
    "TopologySpreadConstraint": (
        "maxSkew topologyKey whenUnsatisfiable labelSelector minDomains nodeAffinityPolicy nodeTaintsPolicy "
        "matchLabelKeys"
    ),
    "TypedLocalObjectReference": "apiGroup kind name",
    "TypedObjectReference": "apiGroup kind name namespace",
    "VolumeDevice": "name devicePath",
    "VolumeProjection": "secret downwardAPI configMap serviceAccountToken clusterTrustBundle podCertificate",
    "VolumeResourceRequirements": "limits requests",
    "VsphereVirtualDiskVolumeSource": "volumePath fsType storagePolicyName storagePolicyID",
    "WeightedPodAffinityTerm": "weight podAffinityTerm",
    "WindowsSecurityContextOptions": "gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess",
}
