"""Words about embeddings that recipes and the store share."""

from __future__ import annotations

from typing import Literal

#: What the embedding store keeps rows in.
StoredDtype = Literal["float32", "float16", "bfloat16"]
