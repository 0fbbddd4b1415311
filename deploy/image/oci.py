"""An OCI image archive from a root file system's tar: no daemon, no registry, standard library alone.

The same input gives the same bytes. `ctr images import`, `podman load` and `docker load` take it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = "application/vnd.oci.image"
CHUNK = 1 << 20
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Image(NamedTuple):
    """What stands beside the files. `name` is the reference that pods use: `registry/repository:tag`."""

    name: str
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Sequence[str] = (PATH,)
    labels: Mapping[str, str] = {}
    created: str = "1970-01-01T00:00:00Z"
    architecture: str = "amd64"


class Blob(NamedTuple):
    digest: str
    size: int


def write(image: Image, layer: Path, out: Path) -> None:
    """`layer` is an uncompressed tar; `out` appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".oci-") as folder:
        packed = Path(folder) / "layer.tar.gz"
        uncompressed = digest_of(layer)
        compress(layer, packed)
        documents: dict[str, bytes] = {}
        config = keep(documents, configuration(image, uncompressed))
        manifest = keep(documents, manifest_of(config, Blob(digest_of(packed), packed.stat().st_size)))
        documents["index.json"] = encode(index_of(image.name, manifest))
        documents["oci-layout"] = encode({"imageLayoutVersion": "1.0.0"})
        whole = Path(folder) / "image"
        with tarfile.open(whole, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in sorted(documents.items()):
                archive.addfile(member(name, len(content)), io.BytesIO(content))
            with packed.open("rb") as content_file:
                archive.addfile(member(blob_path(digest_of(packed)), packed.stat().st_size), content_file)
        whole.replace(out)


def compress(source: Path, target: Path) -> None:
    """Without the time and the name that gzip would put in."""
    with (
        source.open("rb") as plain,
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, CHUNK)


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def configuration(image: Image, layer: str) -> dict[str, Any]:
    """https://github.com/opencontainers/image-spec/blob/main/config.md"""
    process: dict[str, Any] = {"Env": list(image.environment), "WorkingDir": "/"}
    process |= {"Entrypoint": list(image.entrypoint)} if image.entrypoint else {}
    process |= {"Cmd": list(image.command)} if image.command else {}
    process |= {"Labels": dict(image.labels)} if image.labels else {}
    return {
        "architecture": image.architecture, "os": "linux", "created": image.created, "config": process,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }  # fmt: skip


def manifest_of(config: Blob, layer: Blob) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": f"{PREFIX}.manifest.v1+json",
        "config": {"mediaType": f"{PREFIX}.config.v1+json", **config._asdict()},
        "layers": [{"mediaType": f"{PREFIX}.layer.v1.tar+gzip", **layer._asdict()}],
    }


def index_of(name: str, manifest: Blob) -> dict[str, Any]:
    """The name as containerd reads it, and the tag as the specification has it."""
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    return {
        "schemaVersion": 2,
        "manifests": [
            {"mediaType": f"{PREFIX}.manifest.v1+json", **manifest._asdict(), "annotations": names},
        ],
    }


def keep(documents: dict[str, bytes], document: dict[str, Any]) -> Blob:
    content = encode(document)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    documents[blob_path(digest)] = content
    return Blob(digest, len(content))


def encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def member(name: str, size: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mode = size, 0o644
    return made


def layer_of(files: Mapping[str, Path], out: Path) -> None:
    """A layer of a few files with their modes, for images of one program: path in the image -> file here."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        made: set[str] = set()
        for name, source in sorted(files.items()):
            parents = [part for part in os.path.dirname(name).split("/") if part]
            for depth in range(1, len(parents) + 1):
                folder = "/".join(parents[:depth])
                if folder not in made:
                    made.add(folder)
                    entry = tarfile.TarInfo(folder)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            entry = member(name.lstrip("/"), source.stat().st_size)
            entry.mode = source.stat().st_mode & 0o777
            with source.open("rb") as content:
                archive.addfile(entry, content)
