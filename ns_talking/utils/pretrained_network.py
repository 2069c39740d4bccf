"""Loading a network of transformers from files alone, with nothing of it left to chance."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ns_talking.utils.optional import require


def load_network(
    architecture: str, config: Path, weights: Path, purpose: str, remedy: str
) -> Any:  # Any: a class chosen by name.
    """Load a network in single precision, ready for inference.

    Args:
        architecture: Class of transformers that runs it.
        config: Its config.json.
        weights: model.safetensors or pytorch_model.bin.
        purpose: What transformers is needed for, as a noun phrase.
        remedy: What to do when the weights are not of this network.

    Raises:
        ValueError: When the weights do not fill the architecture, which would leave random numbers in it.
    """
    transformers = require("transformers", extra=None, purpose=purpose)
    with _quiet():
        # `local_files_only` keeps the hub's client, and with it its telemetry, from the network.
        network, report = getattr(transformers, architecture).from_pretrained(
            str(weights.parent),
            config=transformers.AutoConfig.from_pretrained(str(config.parent), local_files_only=True),
            use_safetensors=weights.suffix == ".safetensors",
            local_files_only=True,
            # The report names them; transformers' own error does not.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    # Some versions tell the two shapes beside the name.
    misfits = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    if missing := sorted([*report["missing_keys"], *misfits]):
        odd = missing[0]
        raise ValueError(
            f"{weights} does not fill the model {architecture} of {config}: {odd!r} is missing or has another shape. "
            f"{remedy}"
        )
    return network.float().eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and its list of unused weights off the console."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
