"""Stage 2b: windows over time, read for one question. In: spatial tokens and questions. Out: temporal tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sama_plugin.config import AggregatorConfig
from sama_plugin.modeling.qformer import additive_mask, build_qformer_encoder, new_queries, sine_positions


class TemporalAggregator(nn.Module):
    """Queries and question text attend jointly; the queries read each window of frames.

    Args:
        hidden_size: N, width of the LLM's token embeddings.
        config: aggregator sizes.
        max_frames: largest T; each has a learned position.

    Source: paper §3.3; official `temporal_Qformer` (spec §3.2 steps 4-7). Differs: text enters as the LLM's own
    token embeddings (no second tokenizer, no truncation); a learned position per sparse frame (official: none), so
    that windows and frames can be told apart.
    """

    def __init__(self, hidden_size: int, config: AggregatorConfig, max_frames: int) -> None:
        super().__init__()
        width = config.qformer_width
        self.window_frames = config.window_frames
        self.max_frames = max_frames
        self.text_proj = nn.Linear(hidden_size, width)
        self.frame_positions = new_queries(max_frames, width)
        self.queries = new_queries(config.temporal_queries, width)
        self.input_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = build_qformer_encoder(
            config, num_layers=config.temporal_layers, cross_every=1, encoder_width=width, reads_text=True
        )

    def forward(
        self, spatial_tokens: list[Tensor], words: Tensor, lengths: list[int], owner: list[int]
    ) -> tuple[Tensor, list[int]]:
        """Read each question's clip, window by window.

        Args:
            spatial_tokens: list over clips of (T_c, Q, E) float; T_c is 0 where there is nothing to see.
            words: (L, E) float; all questions one after the other, projected; region tokens put in place.
            lengths: of each question; L in all.
            owner: clip index of each question; a clip with frames.

        Returns:
            (K, E) float, questions one after the other, and how many rows each has: Q·W, W = ceil(T / window) windows
            in time order. Without questions K is 0.
        """
        windows: list[Tensor] = []
        of_clip: list[range] = []
        for tokens in spatial_tokens:
            clip = tokens + self.frame_positions[0, : len(tokens), None]
            own = [window.flatten(0, 1) for window in clip.split(self.window_frames)]
            of_clip.append(range(len(windows), len(windows) + len(own)))
            windows += own
        pairs = [(window, q) for q, clip_index in enumerate(owner) for window in of_clip[clip_index]]
        rows = torch.tensor(pairs, dtype=torch.long, device=words.device).view(-1, 2)
        outputs = self._read(windows, words, lengths, rows).flatten(0, 1)  # (pairs · Q, E)
        num_queries = self.queries.shape[1]
        return outputs, [len(of_clip[clip_index]) * num_queries for clip_index in owner]

    def _read(self, windows: list[Tensor], words: Tensor, lengths: list[int], pairs: Tensor) -> Tensor:
        """One batched pass over pairs of window and question, (pairs, 2) long; padding masked away."""
        memory, memory_keep = (rows[pairs[:, 0]] for rows in _pad(torch.cat(windows), [*map(len, windows)]))
        padded, words_keep = _pad(words, lengths)
        padded = padded + sine_positions(padded.shape[1], padded.shape[2], padded)
        padded, words_keep = padded[pairs[:, 1]], words_keep[pairs[:, 1]]
        queries = self.queries.expand(len(pairs), -1, -1)
        num_queries = queries.shape[1]
        inputs = self.dropout(self.input_norm(torch.cat([queries, padded], dim=1)))
        keep = torch.cat([words_keep.new_ones(len(pairs), num_queries), words_keep], dim=1)
        outputs = self.encoder(
            inputs,
            attention_mask=additive_mask(keep, inputs.dtype),
            encoder_hidden_states=memory,
            encoder_attention_mask=additive_mask(memory_keep, inputs.dtype),
            query_length=num_queries,
        ).last_hidden_state
        return outputs[:, :num_queries]


def _pad(flat: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Rows of n lengths, (sum, E) → (n, L, E), and (n, L) bool, True where a row is; what pads is not zero."""
    sizes = torch.tensor(lengths, dtype=torch.long, device=flat.device)
    places = torch.arange(max(lengths, default=1), device=flat.device)[None]  # text has a part of its own
    keep = places < sizes[:, None]
    starts = (sizes.cumsum(0) - sizes)[:, None]
    return flat[(starts + places).where(keep, 0)], keep
