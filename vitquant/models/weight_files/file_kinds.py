"""What a file of weights is that is not safetensors, and what to do with it."""

import shlex
import zipfile
from pathlib import Path

_LFS = b"version https://git-lfs"
# How files of other formats begin.
_BEGINNINGS = {
    b"\x89HDF": "an HDF5 file, as Keras and TensorFlow write it",
    b"GGUF": "a GGUF file",
    b"<": "a web page or XML, not weights; download the file itself",
    b"\x1f\x8b": "a compressed file; unpack it first",
}
_SAFETENSORS = "; a safetensors file is accepted"
# The names under which training scripts keep the weights beside other things. As in timm, averaged
# ones come first.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "teacher")


def what_it_is(path: Path) -> str | None:
    """What a message says of a file that safetensors cannot read; None if nobody knows.

    A pickled file is not loaded: the message has the command that converts it.
    """
    with path.open("rb") as file:
        start = file.read(64)
    size = path.stat().st_size
    if size == 0:
        return "is empty"
    if start.startswith(_LFS):
        return "is a pointer of Git LFS, not the weights; run git lfs pull in its repository"
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if len(start) > 1 and start[0] == 0x80 and start[1] in range(2, 6):
        return _pickled(path)
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return f"is {kind}{_SAFETENSORS}"
    length = int.from_bytes(start[:8], "little")
    if len(start) > 8 and start[8:9] == b"{" and 0 < length < 2**27:
        return (
            f"is not a readable safetensors file: it is cut short or damaged ({size:,} bytes); "
            f"download or copy it again"
        )
    return None


def _archive(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return "is a pickled PyTorch file or another archive that is cut short; download it again"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        return _pickled(path, scripted=True)
    if any(name.endswith("data.pkl") for name in names):
        return _pickled(path)
    kind = "a NumPy archive" if any(n.endswith(".npy") for n in names) else "a zip archive"
    return f"is {kind}{_SAFETENSORS}"


def _pickled(path: Path, scripted: bool = False) -> str:
    kind = "a TorchScript file" if scripted else "a pickled PyTorch file"
    return (
        f"is {kind}, which may run code when it is loaded; convert it to safetensors with: "
        f"{conversion(path, scripted)}"
    )


def conversion(path: Path, scripted: bool = False) -> str:
    """The line for a shell that writes the tensors of a pickled file beside it, as safetensors.

    It loads with ``weights_only=True``, and takes the weights out of the wrapper of a training
    script.
    """
    source, target = str(path), str(path.with_suffix(".safetensors"))
    if scripted:
        load = f"d = torch.jit.load({source!r}, 'cpu').state_dict(); "
    else:
        load = (
            # The arguments of a training script are kept as such a namespace.
            f"torch.serialization.add_safe_globals([argparse.Namespace]); "
            f"d = torch.load({source!r}, 'cpu', weights_only=True); "
            f"d = next((d[k] for k in {_WRAPPERS!r} if isinstance(d.get(k), dict)), d); "
        )
    code = (
        f"import argparse, torch, safetensors.torch as s; {load}"
        f"s.save_file({{k: v.contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}}, "
        f"{target!r})"
    )
    return (
        f'python -c "{code}"'
        if not set(code) & set('"$`\\!')
        else shlex.join(["python", "-c", code])
    )
