"""The model file: safetensors, written whole or not at all, and checked when read.

The tensors have PyTorch's names: ``net.weight_ih_l0`` and so on, ``readout.weight`` and
``readout.bias``; the same after ``adam.mean.`` and ``adam.square.``, and ``state.0.h``. All else
is JSON in the metadata, under the key ``xpbptt``.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpbptt._tree import leaves, map_leaves
from xpbptt.charlm import atomic
from xpbptt.charlm.errors import TrainingError, UserError
from xpbptt.charlm.layout import Tensor, layout
from xpbptt.charlm.model import CharModel, build
from xpbptt.charlm.settings import NAMES, Settings
from xpbptt.charlm.train import TrainState
from xpbptt.optim import AdamState

KEY = "xpbptt"
FORMAT = "character model 1"


@dataclass(frozen=True)
class Checkpoint:
    """A training run as it is stored.

    Parameters
    ----------
    settings : Settings
        The settings.
    vocabulary : str
        The characters, in the order of their numbers.
    text_name, text_digest : str
        The text that it was trained on: its name, and its SHA-256.
    progress : TrainState
        What the next step follows from, with NumPy arrays, float32.
    threads : int or None
        How many threads its matrix products had, which their last bits follow from; None if that
        is not known.
    """

    settings: Settings
    vocabulary: str
    text_name: str
    text_digest: str
    progress: TrainState
    threads: int | None = None

    @property
    def model(self) -> CharModel:
        """The model that the parameters belong to."""
        return build(self.settings, len(self.vocabulary))


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model file, whole or not at all: a temporary file beside it is renamed.

    Parameters
    ----------
    path : Path
        Where to; a file there is replaced.
    checkpoint : Checkpoint
        What to write.

    Raises
    ------
    TrainingError
        If it cannot be written or holds numbers that are not finite. Nothing is changed then.
    """
    from safetensors.numpy import save as serialize  # noqa: PLC0415 - on use, not on import

    progress = checkpoint.progress
    arrays = (progress.params, progress.moments.mean, progress.moments.square, progress.state)
    places = layout(checkpoint.model, checkpoint.settings.batch)
    pairs = zip(leaves(places), leaves(arrays), strict=True)
    # Of an array that is not contiguous safetensors would write other numbers, and say nothing.
    tensors = {place.name: np.ascontiguousarray(array) for (_, place), (_, array) in pairs}
    if not _finite(tensors):
        message = (
            f"the model has numbers that are not finite after step {progress.moments.step}; "
            f"{path} is as it was; try a smaller --learning-rate"
        )
        raise TrainingError(message)
    try:
        atomic.write(path, serialize(tensors, metadata={KEY: _metadata(checkpoint)}))
    except OSError as error:
        message = f"{path} could not be written and is as it was: {error.strerror or error}"
        raise TrainingError(message) from error


def load(path: Path) -> Checkpoint:
    """Read a model file.

    Parameters
    ----------
    path : Path
        A file that `save` wrote.

    Returns
    -------
    checkpoint : Checkpoint
        What it holds.

    Raises
    ------
    UserError
        If there is no such file, or it is truncated, foreign or contradicts itself.
    """
    metadata, tensors = _read(path)
    try:
        stored = json.loads(metadata)
        found = stored.pop("format", None)
        if found != FORMAT:
            message = f"{path} has the format {found!r}; this version reads {FORMAT!r}"
            raise UserError(message)
        checkpoint = _unchecked(**stored)
        places = layout(checkpoint.model, checkpoint.settings.batch)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{path} has damaged metadata: {error}"
        raise UserError(message) from error
    _check(path, tensors, [place for _, place in leaves(places)])
    params, mean, square, state = map_leaves(lambda place: tensors[place.name], places)
    _, moments, _, position = checkpoint.progress
    progress = TrainState(params, AdamState(moments.step, mean, square), state, position)
    return Checkpoint(**{**vars(checkpoint), "progress": progress})


def check_writable(path: Path) -> None:
    """Refuse a place where `save` could not write, or should not: a file that is no model file.

    Raises
    ------
    UserError
        If so.
    """
    try:
        exists = path.exists()
        atomic.probe(path)
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        message = f"--out {path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error
    if exists:
        try:
            load(path)
        except UserError as error:
            message = f"{error}; it would be overwritten: give another --out, or remove it"
            raise UserError(message) from error


def _metadata(checkpoint: Checkpoint) -> str:
    return json.dumps(
        {
            "format": FORMAT,
            "settings": asdict(checkpoint.settings),
            "vocabulary": checkpoint.vocabulary,
            "text_name": checkpoint.text_name,
            "text_digest": checkpoint.text_digest,
            "step": checkpoint.progress.moments.step,
            "position": checkpoint.progress.position,
            "threads": checkpoint.threads,
        }
    )


def _unchecked(
    *,
    settings: dict[str, Any],
    vocabulary: str,
    text_name: str,
    text_digest: str,
    step: int,
    position: int,
    threads: int | None = None,
) -> Checkpoint:
    """Return a checkpoint from the metadata, its arrays still missing."""
    if sorted(settings) != sorted(NAMES):
        message = f"expected the settings {', '.join(NAMES)}, got {', '.join(settings)}"
        raise ValueError(message)
    if not all(isinstance(text, str) for text in (vocabulary, text_name, text_digest)):
        message = "expected texts for vocabulary, text_name and text_digest"
        raise TypeError(message)
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        message = "expected a vocabulary without repetitions"
        raise ValueError(message)
    if not all(type(count) is int and count >= 0 for count in (step, position)):
        message = f"expected counts for step and position, got {step!r} and {position!r}"
        raise ValueError(message)
    if threads is not None and not (type(threads) is int and threads >= 1):
        message = f"expected a number of threads, got {threads!r}"
        raise ValueError(message)
    progress = TrainState(None, AdamState(step, None, None), None, position)
    return Checkpoint(Settings(**settings), vocabulary, text_name, text_digest, progress, threads)


def _read(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - on use, not on import

    try:
        with path.open("rb"):
            pass
        with safe_open(path, framework="np") as file:
            metadata = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if metadata else {}  # noqa: SIM118 - no dict
    except SafetensorError as error:
        message = f"{path} is no model file, or a truncated one: {error}"
        raise UserError(message) from error
    except (TypeError, ValueError, AttributeError) as error:  # a dtype that NumPy does not have
        message = f"{path} is no model file that `xpbptt train` wrote: {error}"
        raise UserError(message) from error
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise UserError(message) from error
    if metadata is None:
        message = f"{path} is a safetensors file, but none that `xpbptt train` wrote"
        raise UserError(message)
    return metadata, tensors


def _check(path: Path, tensors: dict[str, np.ndarray], expected: list[Tensor]) -> None:
    """Refuse tensors that are not those of the settings."""
    names = {tensor.name for tensor in expected}
    if tensors.keys() != names:
        missing, unknown = sorted(names - tensors.keys()), sorted(tensors.keys() - names)
        message = f"{path} does not match its own settings: it lacks {missing}, and has {unknown}"
        raise UserError(message)
    for tensor in expected:
        array = tensors[tensor.name]
        if array.shape != tensor.shape or array.dtype != np.float32:
            message = (
                f"{path} does not match its own settings: {tensor.name} is {array.dtype} "
                f"{array.shape}, expected float32 {tensor.shape}"
            )
            raise UserError(message)
    if not _finite(tensors):
        message = f"{path} holds numbers that are not finite"
        raise UserError(message)


def _finite(tensors: dict[str, np.ndarray]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in tensors.values())
