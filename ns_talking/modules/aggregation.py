"""From the features of several references to one feature per point: mean, slots, or attention by what is heard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

AggregationName = Literal["audio", "slots", "mean"]


class Aggregation(nn.Module, ABC):
    """Blends what references know of points. `output_dim` are the channels of the result."""

    output_dim: int

    @abstractmethod
    def forward(
        self,
        features: Float[Tensor, "samples references channels"],
        pixels: Float[Tensor, "samples references 2"],
        points: Float[Tensor, "samples position"],
        code: Float[Tensor, "frames code"],
        frame_row: Int[Tensor, " samples"],
        reference_codes: Float[Tensor, "references code"],
    ) -> Float[Tensor, "samples output"]:
        """Blend.

        Args:
            features: What lies at the projection of each point in each reference.
            pixels: Where that is, in [-1, 1] across and down.
            points: Encoded points.
            code: Audio code of each distinct frame that is drawn.
            frame_row: Frame of each sample.
            reference_codes: Audio code of each reference.
        """

    def frame_weights(
        self, code: Float[Tensor, "frames code"], reference_codes: Float[Tensor, "references code"]
    ) -> Float[Tensor, "frames references"]:
        """Tell how much each reference counts in a frame by what is heard; alike, unless an aggregation listens."""
        return code.new_full((len(code), len(reference_codes)), 1 / len(reference_codes))


class MeanAggregation(Aggregation):
    """The mean over references: the least there is."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.output_dim = feature_dim

    def forward(
        self,
        features: Float[Tensor, "samples references channels"],
        pixels: Tensor,
        points: Tensor,
        code: Tensor,
        frame_row: Tensor,
        reference_codes: Tensor,
    ) -> Float[Tensor, "samples output"]:
        """Blend all references alike."""
        del pixels, points, code, frame_row, reference_codes
        return features.mean(dim=1)


class SlotAggregation(Aggregation):
    """Two slots that compete for the references of a point.

    Source:
        DFRF (Shen et al., ECCV 2022): slot attention (Locatello et al., NeurIPS 2020), two iterations with a GRU; each
        reference comes with its pixel and the point. Differs from it: slots start from learned vectors without noise,
        so that a picture is the same every time.

    Args:
        feature_dim: Channels of a feature, and of a slot.
        position_dim: Channels of an encoded point.
        num_slots: Slots.
        iterations: Rounds of the competition.
    """

    def __init__(self, feature_dim: int, position_dim: int, num_slots: int = 2, iterations: int = 2) -> None:
        super().__init__()
        self.output_dim = num_slots * feature_dim
        self.iterations = iterations
        located = feature_dim + 2
        self.summary = nn.Sequential(nn.Linear(located, 32), nn.ReLU(), nn.Linear(32, 32))
        self.token = nn.Linear(located + position_dim + 32, feature_dim)
        self.slots = nn.Parameter(torch.randn(num_slots, feature_dim) / feature_dim**0.5)
        self.token_norm, self.slot_norm, self.mlp_norm = (nn.LayerNorm(feature_dim) for _ in range(3))
        self.query, self.key, self.value = (nn.Linear(feature_dim, feature_dim, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(feature_dim, feature_dim)
        self.mlp = nn.Sequential(nn.Linear(feature_dim, feature_dim), nn.ReLU(), nn.Linear(feature_dim, feature_dim))

    def forward(
        self,
        features: Float[Tensor, "samples references channels"],
        pixels: Float[Tensor, "samples references 2"],
        points: Float[Tensor, "samples position"],
        code: Tensor,
        frame_row: Tensor,
        reference_codes: Tensor,
    ) -> Float[Tensor, "samples output"]:
        """Let the slots compete; the sound has no part in it."""
        del code, frame_row, reference_codes
        located = torch.cat([features, pixels], dim=2)
        expanded = points[:, None].expand(-1, features.shape[1], -1)
        token = nn.functional.leaky_relu(self.token(torch.cat([located, expanded, self.summary(located)], dim=2)))
        token = self.token_norm(token)
        key, value = self.key(token), self.value(token)
        slots = self.slots.expand(len(features), -1, -1)
        for _ in range(self.iterations):
            query = self.query(self.slot_norm(slots))
            attention = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(dim=1) + 1e-8
            gathered = (attention / attention.sum(dim=2, keepdim=True)) @ value
            slots = self.gru(gathered.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.mlp(self.mlp_norm(slots))
        return slots.flatten(1)


class AudioAwareAggregation(Aggregation):
    """Two blocks of attention: the sound of the frame asks the sounds of the references for their features.

    Each point asks its own references alone. (One softmax over all points and references, as the paper's shapes read,
    would give every point of a frame the same answer.) In the first block the weights are those of the frame's sound
    alone; in the second a point asks with what the first one gave it.

    Source:
        AE-NeRF (Li et al., AAAI 2024), audio-aware aggregation. Ours, where the paper is silent: heads, norms after
        each part, a hidden layer twice as wide, and a start at which target and reference sounds are compared in the
        same space, without which the weights have nothing to do with the sounds. Where `contrast` says so, sounds are
        compared by what sets the references apart: all sounds of a voice have most of their code in common, and a
        product with that part prefers the same reference whatever is heard.

    Args:
        feature_dim: Channels of a reference's feature.
        code_dim: Channels of an audio code.
        dim: Channels of a token and of the result.
        heads: Heads; must divide `dim`.
        residual_first: Whether the first block adds the sound of the frame itself, as the paper's text has it.
            Without it, sound enters by the choice among references alone.
        contrast: Whether the first block compares sounds relative to mean and spread of the references' sounds.
    """

    def __init__(
        self,
        feature_dim: int,
        code_dim: int,
        dim: int,
        heads: int = 4,
        residual_first: bool = True,
        contrast: bool = True,
    ) -> None:
        super().__init__()
        self.contrast = contrast
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels. Choose a number of heads that does.")
        self.output_dim = dim
        self.of_sound = nn.Linear(code_dim, dim)
        self.of_feature = nn.Linear(feature_dim, dim)
        self.first = CrossAttention(dim, heads, residual_first)
        self.second = CrossAttention(dim, heads)
        self.out = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self,
        features: Float[Tensor, "samples references channels"],
        pixels: Tensor,
        points: Tensor,
        code: Float[Tensor, "frames code"],
        frame_row: Int[Tensor, " samples"],
        reference_codes: Float[Tensor, "references code"],
    ) -> Float[Tensor, "samples output"]:
        """Blend by what is heard."""
        del pixels, points
        asked, keys, values = self.of_sound(code), self.of_sound(reference_codes), self.of_feature(features)
        weights = self._first_weights(asked, keys)[frame_row]
        blended = self.first.blend(asked[frame_row], weights, values)
        return self.out(self.second.blend(blended, self.second.weights(blended, keys), values))

    def frame_weights(
        self, code: Float[Tensor, "frames code"], reference_codes: Float[Tensor, "references code"]
    ) -> Float[Tensor, "frames references"]:
        """Tell how the first block weighs references in each frame, over all heads."""
        return self._first_weights(self.of_sound(code), self.of_sound(reference_codes)).mean(dim=1)

    def _first_weights(
        self, asked: Float[Tensor, "frames channels"], keys: Float[Tensor, "references channels"]
    ) -> Float[Tensor, "frames heads references"]:
        if self.contrast:
            middle = keys.mean(dim=0)
            # A square root has no slope at zero, where all references sound alike.
            spread = ((keys - middle).square().mean() + 1e-12).sqrt()
            asked, keys = (asked - middle) / spread, (keys - middle) / spread
        return self.first.weights(asked, keys)


class CrossAttention(nn.Module):
    """One query per point over its own references, a residual, a norm, a hidden layer, a residual, a norm.

    Args:
        dim: Channels.
        heads: Heads.
        residual: Whether the query itself is added to the answer.
    """

    def __init__(self, dim: int, heads: int, residual: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.residual = residual
        self.query, self.key = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        with torch.no_grad():
            self.key.weight.copy_(self.query.weight)
        self.value = nn.Linear(dim, dim)
        self.join = nn.Linear(dim, dim)
        self.norm, self.last_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.hidden = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def weights(
        self, asked: Float[Tensor, "queries channels"], keys: Float[Tensor, "references channels"]
    ) -> Float[Tensor, "queries heads references"]:
        """Compare queries with the keys of all references."""
        query, key = (part.unflatten(1, (self.heads, -1)) for part in (self.query(asked), self.key(keys)))
        return (torch.einsum("qhc,rhc->qhr", query, key) / asked.shape[1] ** 0.5).softmax(dim=-1)

    def blend(
        self,
        asked: Float[Tensor, "samples channels"],
        weights: Float[Tensor, "samples heads references"],
        values: Float[Tensor, "samples references channels"],
    ) -> Float[Tensor, "samples channels"]:
        """Blend the features of each point by its weights.

        Blending comes before the linear layer of the values, which a convex combination passes through, and costs a
        fraction of it.
        """
        blended = torch.bmm(weights, values)
        of_heads = self.value.weight.view(self.heads, -1, values.shape[2])
        answer = torch.einsum("shc,hdc->shd", blended, of_heads).flatten(1) + self.value.bias
        joined = self.join(answer)
        hidden = self.norm(asked + joined if self.residual else joined)
        return self.last_norm(hidden + self.hidden(hidden))
