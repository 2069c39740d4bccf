"""A transformer block: tokens listen to a context, then to each other."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class TokenExchange(nn.Module):
    """Cross-attention to a context, self-attention, and a small network per token, each behind a layer norm.

    Source:
        Vaswani et al., "Attention is all you need", 2017, with the norms in front (Xiong et al., 2020).

    Args:
        dim: Channels of tokens and context.
        num_heads: Heads of both attentions.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.cross_attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.self_attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.network = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(
        self, tokens: Float[Tensor, "batch tokens channels"], context: Float[Tensor, "batch others channels"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Let every token listen."""
        before_context, before_tokens, before_network = self.norms
        tokens = tokens + self.cross_attention(before_context(tokens), context, context, need_weights=False)[0]
        normed = before_tokens(tokens)
        tokens = tokens + self.self_attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.network(before_network(tokens))
