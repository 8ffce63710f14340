"""One commit to the Hub, made in a process of its own; see :mod:`vitquant.hub.errand`.

A job comes in as JSON on stdin; what happens goes out as lines of JSON on stdout. Nothing of
vitquant is imported here: the process starts in the time that the Hub's client takes.
"""

import base64
import json
import sys
from typing import Any

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError


def main() -> None:
    job = json.load(sys.stdin)
    _watch(job["timeout"])
    try:
        _upload(job)
    except Exception as error:  # whatever the client raises over networks, rights and files
        cause = _answered(error)
        _tell(
            failed=type(cause).__name__,
            status=getattr(getattr(cause, "response", None), "status_code", None),
            timeout="Timeout" in type(cause).__name__,
            message=getattr(cause, "server_message", None) or str(cause),
        )


def _answered(error: BaseException) -> BaseException:
    """The error that has an answer of the Hub, where the client has wrapped it in another."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__
    return error if cause is None else cause


def _upload(job: dict[str, Any]) -> None:
    api = HfApi(token=job["token"], library_name="vitquant", library_version=job["version"])
    repository = job["repository"]
    try:
        info = api.model_info(repository, timeout=job["timeout"])
    except RepositoryNotFoundError:
        info = None
    if info is None:
        api.create_repo(repository, private=job["private"])
        _tell(created=True)
    elif job["private"] and not info.private:
        _tell(public=True)
        return
    operations: list[Any] = [
        CommitOperationAdd(name, content.get("path") or base64.b64decode(content["base64"]))
        for name, content in job["files"].items()
    ]
    # What an earlier upload left and this one does not replace belongs to another model.
    there = {file.rfilename for file in (info.siblings or [])} if info is not None else set()
    operations += [CommitOperationDelete(name) for name in job["obsolete"] if name in there]
    commit = api.create_commit(
        repository,
        operations,
        commit_message=job["message"],
        # Someone else's commit in between is a conflict, not something to bury.
        parent_commit=None if info is None else info.sha,
    )
    _tell(url=f"{api.endpoint}/{repository}", commit=commit.oid)


def _watch(seconds: float) -> None:
    """Let no request wait for longer than ``seconds`` in silence, and tell what goes on.

    The client itself sets no limit on the requests of an upload.
    """
    if not hasattr(huggingface_hub, "set_client_factory"):
        _tell(committing=True)  # releases before 1.0 cannot be watched: it may be at any time
        return
    usual = huggingface_hub.get_session()
    kind, hooks = type(usual), usual.event_hooks
    hooks["request"] = [*hooks.get("request", []), _note_commit]
    hooks["response"] = [*hooks.get("response", []), _note_answer]
    huggingface_hub.set_client_factory(
        lambda: kind(timeout=seconds, follow_redirects=True, event_hooks=hooks)
    )


def _note_commit(request: Any) -> None:
    if request.method == "POST" and "/commit/" in request.url.path:
        _tell(committing=True)


def _note_answer(response: Any) -> None:
    _tell(answered=response.status_code)


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main()
