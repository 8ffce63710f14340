"""One commit to the Hub, within a bounded time."""

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    constants,
    get_session,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

import vitquant
from vitquant.core.errors import UserError
from vitquant.hub.deadline import Deadline, note_answer
from vitquant.hub.errors import http_status, upload_error

# Seconds that a single request may be silent; the client's own variable sets another number.
_SILENCE, _VARIABLE = 30.0, "HF_HUB_DOWNLOAD_TIMEOUT"
# Silences that everything before the commit may take, besides the time for the files on a slow
# line, and those that the two requests of the commit may take.
_SILENCES, _BYTES_A_SECOND, _COMMIT_SILENCES = 4, 50_000, 2
_GATEWAY = (408, 502, 504)  # answers that do not tell whether the request was carried out


@dataclass(frozen=True)
class UploadResult:
    """What was published: the repository's address, the commit, and the bytes of each file."""

    repository: str
    url: str
    commit: str
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def upload(
    repository: str,
    files: Mapping[str, Path | bytes],
    message: str,
    *,
    private: bool = False,
    obsolete: Sequence[str] = (),
    token: str | None = None,
) -> UploadResult:
    """Make one commit of ``files`` in ``repository``, which is created if it is not there.

    Args:
        files: content by name.
        message: title of the commit, by which it is found if the answer to it is lost.
        private: create the repository as a private one, and refuse one that is public.
        obsolete: files to delete where they are there and not among ``files``, and folders, whose
            names end in a slash, to empty so.

    Raises:
        UserError: no commit was made, or that is not known. The message says which and how to go
            on, and holds no token.
    """
    api = HfApi(token=token, library_name="vitquant", library_version=vitquant.__version__)
    attempt = _Attempt(api, repository, message, _silence())
    sizes = {name: _size(content) for name, content in files.items()}
    try:
        commit = attempt.commit(files, sum(sizes.values()), private, obsolete)
    except UserError:
        raise
    except Exception as error:  # whatever the client raises over networks, rights and files
        found, state = attempt.look(error)
        if found is None:
            # Without its cause, which holds the request and with it the token.
            raise upload_error(error, repository, state, attempt.silence, token) from None
        commit = found
    return UploadResult(repository, f"{api.endpoint}/{repository}", commit, sizes)


def _is_in(name: str, places: Sequence[str]) -> bool:
    """Whether a file is one of the places, or in one that is a folder."""
    return any(name == place or (place[-1] == "/" and name.startswith(place)) for place in places)


@dataclass
class _Attempt:
    """An upload under way, and how far it has come.

    silence: seconds that a request may be silent. info: the repository before, or None without
    one. created: whether the repository is new. sent: whether the commit may have been sent.
    """

    api: HfApi
    repository: str
    message: str
    silence: float
    info: ModelInfo | None = None
    created: bool = False
    sent: bool = False

    def commit(
        self, files: Mapping[str, Path | bytes], size: int, private: bool, obsolete: Sequence[str]
    ) -> str:
        """The new commit's hash."""
        before = Deadline(_SILENCES * self.silence + size / _BYTES_A_SECOND)
        # A step that is given up is followed by no other, and finds its files closed: it cannot
        # make the commit later.
        with self._watched(), ExitStack() as opened:
            additions = [
                CommitOperationAdd(name, opened.enter_context(_open(content)))
                for name, content in files.items()
            ]
            self.info = before.run(self._find)
            if self.info is None:
                before.run(lambda: self.api.create_repo(self.repository, private=private))
                self.created = True
            elif private and not self.info.private:
                raise UserError(
                    f"--private: {self.repository} exists already and is public, and nothing was "
                    f"uploaded; make it private on the Hub, name another repository, or leave out "
                    f"--private"
                )
            # Each by itself: several at once are sent by threads that the program waits for when
            # it ends.
            for addition in additions:
                before.run(partial(self._send, addition))
            # What an earlier upload left and this one does not replace belongs to another model.
            there = {file.rfilename for file in (self.info.siblings if self.info else None) or []}
            operations: list[CommitOperation] = list(additions)
            gone = (name for name in sorted(there) if name not in files and _is_in(name, obsolete))
            operations += [CommitOperationDelete(name) for name in gone]
            self.sent = True
            with warnings.catch_warnings(action="ignore"):  # about the card
                made = Deadline(_COMMIT_SILENCES * self.silence).run(
                    lambda: self.api.create_commit(
                        self.repository,
                        operations,
                        commit_message=self.message,
                        # Someone else's commit in between is a conflict, not something to bury.
                        parent_commit=self.parent,
                    )
                )
        return made.oid

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Limit how long a request may be silent, note how it is answered, and show no bars.

        The client sets no limit by itself, and does not tell after which answer it tries again.
        """
        session = get_session()
        timeout, hooks = session.timeout, session.event_hooks
        bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
        if bars:
            disable_progress_bars()
        session.timeout = self.silence
        session.event_hooks = {**hooks, "response": [*hooks.get("response", []), note_answer]}
        try:
            yield
        finally:
            session.timeout, session.event_hooks = timeout, hooks
            if bars:
                enable_progress_bars()

    @property
    def parent(self) -> str | None:
        """The commit to which this one is added."""
        return self.info.sha if self.info is not None else None

    def _send(self, addition: CommitOperationAdd) -> None:
        """Send a file by LFS, unless it is small enough to go with the commit itself."""
        self.api.preupload_lfs_files(self.repository, [addition], free_memory=False)

    def _find(self) -> ModelInfo | None:
        try:
            return self.api.model_info(self.repository)
        except RepositoryNotFoundError:
            return None

    def look(self, error: Exception) -> tuple[str | None, str]:
        """The commit if it was made in spite of ``error``, and what is known if it was not."""
        status = http_status(error)
        answered = status is not None and status not in _GATEWAY
        if self.sent and not (answered and status is not None and status < 500):
            try:
                commit = Deadline(self.silence).run(self._made)
            except Exception:
                return None, "whether the commit was made is not known; it is made once at most"
            if commit is not None:
                return commit, ""
            if not answered:
                return None, (
                    "the commit was not there when the Hub was asked afterwards; it is made once "
                    "at most"
                )
        new = f", but the new repository {self.repository} is there, empty" if self.created else ""
        return None, f"nothing was published{new}"

    def _made(self) -> str | None:
        """The hash of this upload's commit, if the repository has it."""
        commits = self.api.list_repo_commits(self.repository)
        new = takewhile(lambda commit: commit.commit_id != self.parent, commits)
        return next((commit.commit_id for commit in new if commit.title == self.message), None)


def _open(content: Path | bytes) -> BinaryIO:
    # The client sends open files by LFS. It has no limit on the time that Xet takes.
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _silence() -> float:
    given = os.environ.get(_VARIABLE, "")
    return float(given) if given.isdigit() and int(given) > 0 else _SILENCE
