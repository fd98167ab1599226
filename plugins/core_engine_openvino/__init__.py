"""Bundled teacher: text encoders computed by OpenVINO on the processor."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_openvino.config import OpenVINO

__all__ = ["OpenVINO", "teachers"]


@hookimpl
def teachers() -> list[Component]:
    return [Component("openvino", OpenVINO)]
