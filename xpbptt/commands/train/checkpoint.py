"""The model file: safetensors, written whole or not at all, and checked when read.

The tensors have PyTorch's names: ``net.weight_ih_l0`` and so on, ``readout.weight`` and
``readout.bias``; the same after ``adam.mean.`` and ``adam.square.``, and ``state.0.h``. All else
is JSON in the metadata, under the key ``xpbptt``; ``xpbptt-sha256`` is a digest of that and of the
tensors. What a file says of itself is believed only where its header's tensors bear it out.
"""

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpbptt._arrays import atomic
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.commands.base.errors import NotFiniteError, TrainingError, UserError
from xpbptt.commands.base.terminal import plain
from xpbptt.commands.train import layout, tensors
from xpbptt.commands.train.model import CharModel, build
from xpbptt.commands.train.settings import ADDED, NAMES, Settings
from xpbptt.commands.train.train import TrainState
from xpbptt.optim import AdamState

KEY = "xpbptt"
DIGEST_KEY = "xpbptt-sha256"
FORMAT = "character model 2"
FORMAT_WITHOUT_DIGEST = "character model 1"
_COUNT_MOST = 2**63 - 1  # of steps and characters
_PARTS_MOST = 1000  # of the JSON: there are some 14, and the punctuation in the name of a text

_log = logging.getLogger("xpbptt")


@dataclass(frozen=True)
class Checkpoint:
    """A training run as it is stored."""

    settings: Settings
    vocabulary: str  # the characters, in the order of their numbers
    text_name: str  # of the text that it was trained on, with its SHA-256
    text_digest: str
    progress: TrainState  # what the next step follows from, with NumPy arrays, float32
    # How many threads its matrix products had, which their last bits follow from; None if that is
    # not known.
    threads: int | None = None
    held_out: float | None = None  # bits per character on the held-out text, as last measured

    @property
    def model(self) -> CharModel:
        """The model that the parameters belong to."""
        return build(self.settings, len(self.vocabulary))


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model file, whole or not at all: a temporary file beside it is renamed.

    Raises NotFiniteError if it holds numbers that are not finite. Nothing is changed then. Raises
    TrainingError if it cannot be written. Nothing is changed then.
    """
    from safetensors.numpy import save as serialize  # noqa: PLC0415 - on use, not on import

    progress = checkpoint.progress
    arrays = (progress.params, progress.moments.mean, progress.moments.square, progress.state)
    places = layout.trees(checkpoint.model, checkpoint.settings.batch)
    pairs = zip(leaves(places), leaves(arrays), strict=True)
    # Of an array that is not contiguous safetensors would write other numbers, and say nothing.
    found = {place.name: np.ascontiguousarray(array) for (_, place), (_, array) in pairs}
    if not _finite(found):
        what = "the model has numbers that are"
        raise NotFiniteError(what, progress.moments.step)
    metadata = _metadata(checkpoint)
    stored = {KEY: metadata, DIGEST_KEY: tensors.digest(metadata, found)}
    try:
        atomic.write(path, serialize(found, metadata=stored))
    except OSError as error:
        message = f"{path} could not be written and is as it was: {error.strerror or error}"
        raise TrainingError(message) from error


def load(path: Path) -> Checkpoint:
    """Read a model file. Of one without a digest, from an older version, a warning is logged.

    Raises UserError if there is no such file, or it is truncated, foreign, damaged or contradicts
    itself.
    """
    checkpoint, checked = _load(path)
    if not checked:
        note = "%s comes from an older version and has no digest: damage would go unnoticed"
        _log.warning(note, plain(str(path)))
    return checkpoint


def _load(path: Path) -> tuple[Checkpoint, bool]:
    """Read a model file, and tell whether it had a digest."""
    with tensors.opened(path) as file:
        stored = file.metadata() or {}
        if KEY not in stored:
            message = f"{path} is a safetensors file, but none that `xpbptt train` wrote"
            raise UserError(message)
        checkpoint, places, has_digest = _parse(path, stored[KEY])
        try:
            layout.check_names(set(file.keys()), places)
            layout.check_shapes(tensors.signatures(file), places)
        except ValueError as error:
            message = f"{path} does not match its own settings: {error}"
            raise UserError(message) from error
        found = tensors.read(file)
    if has_digest and stored.get(DIGEST_KEY) != tensors.digest(stored[KEY], found):
        message = f"{path} is damaged: its contents are not those that were saved"
        raise UserError(message)
    if not _finite(found):
        message = f"{path} holds numbers that are not finite"
        raise UserError(message)
    params, mean, square, state = map_leaves(lambda place: found[place.name], places)
    told = checkpoint.progress
    moments = AdamState(told.moments.step, mean, square)
    progress = TrainState(params, moments, state, told.position)
    return Checkpoint(**{**vars(checkpoint), "progress": progress}), has_digest


def check_writable(path: Path, *, overwrite: bool = True) -> None:
    """Refuse a place where `save` could not write, or should not: a file that is no model file.

    Without `overwrite` a model file is refused, too. Raises UserError then.
    """
    try:
        exists = path.exists()
        atomic.probe(path)
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        message = f"--out {path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error
    if exists:
        try:
            found, _ = _load(path)
        except UserError as error:
            message = f"{error}; it would be overwritten: give another --out, or remove it"
            raise UserError(message) from error
        if not overwrite:
            bits = "" if found.held_out is None else f", {found.held_out:.2f} bits/char held out"
            message = (
                f"{path} holds a model after step {found.progress.moments.step}{bits}: go on with "
                f"it by --resume, replace it by --overwrite, or give another --out"
            )
            raise UserError(message)


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
            "held_out": checkpoint.held_out,
        }
    )


def _parse(path: Path, metadata: str) -> tuple[Checkpoint, Tree, bool]:
    """Return the checkpoint without its arrays, the tensors expected, and whether a digest is."""
    try:
        stored = _decoded(metadata)
        found = stored.pop("format", None)
        if found not in (FORMAT, FORMAT_WITHOUT_DIGEST):
            message = f"{path} has the format {found!r}; this version reads {FORMAT!r}"
            raise UserError(message)
        checkpoint = _unchecked(**stored)
        places = layout.trees(checkpoint.model, checkpoint.settings.batch)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        message = f"{path} has damaged metadata: {error}"
        raise UserError(message) from error
    return checkpoint, places, found == FORMAT


def _decoded(metadata: str) -> Any:
    """Return the JSON of the metadata, unless it has so many parts that reading it takes long."""
    if sum(map(metadata.count, "[{,")) > _PARTS_MOST:
        message = f"expected at most {_PARTS_MOST} parts"
        raise ValueError(message)
    return json.loads(metadata)


def _unchecked(
    *,
    settings: dict[str, Any],
    vocabulary: str,
    text_name: str,
    text_digest: str,
    step: int,
    position: int,
    threads: int | None = None,
    held_out: float | None = None,
) -> Checkpoint:
    """Return a checkpoint from the metadata, its arrays still missing."""
    if not set(NAMES) - ADDED <= set(settings) <= set(NAMES):
        message = f"expected the settings {', '.join(NAMES)}, got {', '.join(settings)}"
        raise ValueError(message)
    if not all(isinstance(text, str) for text in (vocabulary, text_name, text_digest)):
        message = "expected texts for vocabulary, text_name and text_digest"
        raise TypeError(message)
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        message = "expected a vocabulary without repetitions"
        raise ValueError(message)
    if not all(type(n) is int and 0 <= n <= _COUNT_MOST for n in (step, position)):
        message = f"expected counts for step and position, got {step!r} and {position!r}"
        raise ValueError(message)
    if threads is not None and not (type(threads) is int and threads >= 1):
        message = f"expected a number of threads, got {threads!r}"
        raise ValueError(message)
    if held_out is not None and not (type(held_out) is float and 0 <= held_out < math.inf):
        message = f"expected bits per character, got {held_out!r}"
        raise ValueError(message)
    progress = TrainState(None, AdamState(step, None, None), None, position)
    told = (vocabulary, text_name, text_digest, progress, threads, held_out)
    return Checkpoint(Settings(**settings), *told)


def _finite(found: tensors.Tensors) -> bool:
    return all(bool(np.isfinite(array).all()) for array in found.values())
