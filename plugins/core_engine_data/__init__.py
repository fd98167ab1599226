"""The bundled data sources: dialogues, texts, ready embeddings, the pairs that are shipped with the package, and
more of them.
"""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_data.columns import Columns
from core_engine_data.dialogues import Dialogues
from core_engine_data.embeddings import Embeddings
from core_engine_data.expand import Expand
from core_engine_data.quickstart import Quickstart
from core_engine_data.texts import Texts

__all__ = ["Columns", "Dialogues", "Embeddings", "Expand", "Quickstart", "Texts"]


@hookimpl
def data_sources() -> list[Component]:
    return [
        Component("dialogues", Dialogues),
        Component("texts", Texts),
        Component("embeddings", Embeddings),
        Component("quickstart", Quickstart),
        Component("expand", Expand),
    ]
