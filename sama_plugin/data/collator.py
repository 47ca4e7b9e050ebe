"""Examples → one padded batch, as keyword arguments of the model's `forward`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn.utils.rnn import pad_sequence

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.dataset import Example


class SamaCollator:
    """Right-pads text and lists the rest.

    There is no attention mask: under causal attention no token looks at what is behind it, and without a mask attention
    takes its fast path.

    Args:
        pad_token_id: fills `input_ids`; nothing reads what comes of it, so any id does.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Collate B examples; text padded to (B, L), the rest as lists of B."""
        input_ids = [example.input_ids for example in examples]
        return {
            "input_ids": pad_sequence(input_ids, batch_first=True, padding_value=self.pad_token_id),
            "labels": pad_sequence(
                [e.labels for e in examples], batch_first=True, padding_value=IGNORE_INDEX
            ),
            "videos": [example.video for example in examples],
            "grounding": [example.grounding for example in examples],
            "sample_ids": [example.sample_id for example in examples],
            "tasks": [example.task for example in examples],
        }
