"""A model version as files that serve it elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from nbmlops.deployment import files, records
from nbmlops.errors import ConflictError, UsageError
from nbmlops.lifecycle.deploy import endpoint_name, read_share
from nbmlops.store import Store, connect
from nbmlops.store.embedded import writing
from nbmlops.store.models.own_code import ANY
from nbmlops.store.registry.versions import resolve_version


def export_endpoint(
    target: str,
    folder: str | Path,
    *,
    to: Literal["docker", "kserve"] = "docker",
    name: str | None = None,
    image: str | None = None,
    canary: float | str | None = None,
    no_auth: bool = False,
    trust: bool = False,
    store: Store | None = None,
) -> Path:
    """Write a folder that an image is built from, which answers as an endpoint does.

    Parameters
    ----------
    target : str
        ``MODEL/VERSION``, ``MODEL@ALIAS``, or ``MODEL`` for its newest version.
    folder : str or Path
        It is made; it may be there if it is empty.
    to : {"docker", "kserve"}, default="docker"
        ``kserve`` also writes an InferenceService.
    name : str, optional
        The endpoint's name; by default the registered model's.
    image : str, optional
        The image that KServe is to run; ``NAME:VERSION`` by default.
    canary : float or str, optional
        For KServe, the share of requests, between 0 and 1 or as ``10%``: instead of an
        InferenceService a patch is written that adds the version to one as a canary.
    no_auth : bool, default=False
        Whether it answers without a bearer token; else that is the environment
        variable ``NBMLOPS_ENDPOINT_TOKEN``.
    trust : bool, default=False
        Whether it runs whatever code the model brings; else that of the modules in
        ``[tool.nbmlops.models] trust``.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotFoundError
        No such model, version or alias.
    ConflictError
        The folder holds files.
    UsageError
        The version cannot be served, or an option is KServe's alone.
    """
    from nbmlops.deployment.export.docker import write_image_folder
    from nbmlops.deployment.export.kserve import inference_service, kubernetes_name

    if to not in ("docker", "kserve"):
        raise UsageError(f"No export to {to!r}.", fix="Use docker or kserve.")
    if to == "docker" and (image is not None or canary is not None):
        raise UsageError(
            "An image and a canary's share are KServe's.",
            fix="Leave them out, or export to kserve.",
        )
    folder = Path(folder).absolute()
    store = store or connect()
    version, _ = resolve_version(store, target)
    name = name or endpoint_name(version.model)
    records.check_name(name)
    manifest = None
    if to == "kserve":
        manifest = inference_service(
            version,
            name=name,
            image=image or f"{kubernetes_name(name)}:{version.version}",
            no_auth=no_auth,
            canary=None if canary is None else read_share(canary),
        )
    with writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConflictError(f"{folder} holds files.", fix="Give a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        files.fetch(store, version, made)
        with writing(folder):
            (made / "versions" / str(version.version) / "model").rename(made / "model")
            shutil.rmtree(made / "versions")
            write_image_folder(
                store.settings,
                version,
                made,
                name=name,
                no_auth=no_auth,
                trust=ANY if trust else store.settings.models.trust,
            )
            if manifest is not None:
                file = "inferenceservice" if canary is None else "canary"
                (made / f"{file}.yaml").write_text(manifest, "utf-8")
            made.chmod(0o755)
            (made / "model").chmod(0o755)
            made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
