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
        self, spatial_tokens: list[Tensor], questions: list[Tensor], owner: list[int]
    ) -> list[Tensor]:
        """Read each question's clip, window by window.

        Args:
            spatial_tokens: list over clips of (T_c, Q, E) float.
            questions: list over questions, one or more, of (l, E) float, projected; region tokens put in place.
            owner: clip index of each question.

        Returns:
            list over questions of (Q·W, E) float, W = ceil(T / window) windows in time order.
        """
        windows: list[Tensor] = []
        of_clip: list[range] = []
        for tokens in spatial_tokens:
            clip = tokens + self.frame_positions[0, : len(tokens), None]
            own = [window.flatten(0, 1) for window in clip.split(self.window_frames)]
            of_clip.append(range(len(windows), len(windows) + len(own)))
            windows += own
        pairs = [(window, q) for q, clip_index in enumerate(owner) for window in of_clip[clip_index]]
        rows = torch.tensor(pairs, device=windows[0].device)
        outputs = self._read(windows, questions, rows).flatten(0, 1)  # (pairs · Q, E)
        num_queries = self.queries.shape[1]
        return list(outputs.split([len(of_clip[clip_index]) * num_queries for clip_index in owner]))

    def _read(self, windows: list[Tensor], questions: list[Tensor], pairs: Tensor) -> Tensor:
        """One batched pass over pairs of window and question, (pairs, 2) long; padding masked away."""
        memory, memory_keep = (rows[pairs[:, 0]] for rows in _pad(windows))
        words, words_keep = _pad(questions)
        words = words + sine_positions(words.shape[1], words.shape[2], words)
        words, words_keep = words[pairs[:, 1]], words_keep[pairs[:, 1]]
        queries = self.queries.expand(len(pairs), -1, -1)
        num_queries = queries.shape[1]
        inputs = self.dropout(self.input_norm(torch.cat([queries, words], dim=1)))
        keep = torch.cat([words_keep.new_ones(len(pairs), num_queries), words_keep], dim=1)
        outputs = self.encoder(
            inputs,
            attention_mask=additive_mask(keep, inputs.dtype),
            encoder_hidden_states=memory,
            encoder_attention_mask=additive_mask(memory_keep, inputs.dtype),
            query_length=num_queries,
        ).last_hidden_state
        return outputs[:, :num_queries]


def _pad(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """List of n × (l, E) → (n, L, E), and (n, L) bool, True where a row has something; what pads is not zero."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    places = torch.arange(max(map(len, rows)), device=lengths.device)[None]
    keep = places < lengths[:, None]
    starts = (lengths.cumsum(0) - lengths)[:, None]
    return torch.cat(rows)[(starts + places).where(keep, 0)], keep
