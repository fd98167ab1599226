"""The encoder of core_engine_teachers with OpenVINO in place of torch."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from core_engine_teachers import devices
from core_engine_teachers.encoder import Encoder
from core_engine_teachers.loading import load_forward, load_tokenizer
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions

from core_engine_openvino.converted import OpenVINOForward
from core_engine_openvino.runtime import Precision, load_openvino, require_bfloat16

log = structlog.get_logger("core_engine.teachers")

#: Raise it when the code of this package gives other embeddings than before from the same files and options. OpenVINO's
#: own version is no part of the fingerprint, as torch's is not: it changes embeddings by rounding only.
CONVERSION_VERSION = 1


class OpenVINOEncoder(Encoder):
    """Raises TeacherError where OpenVINO is not installed or the processor lacks ``precision``."""

    def __init__(self, located: Located, options: EncoderOptions, precision: Precision) -> None:
        load_openvino()
        if precision == "bfloat16":
            require_bfloat16()
        identity = {"openvino": CONVERSION_VERSION, "precision": precision}
        super().__init__(located, options, "cpu", load=self._converted, identity=identity)
        self._precision: Precision = precision

    @property
    def description(self) -> Mapping[str, object]:
        return {**super().description, "dtype": self._precision, "library": "openvino"}

    def _converted(self) -> OpenVINOForward:
        started = time.perf_counter()
        forward = OpenVINOForward(
            load_forward(self._folder, self._options, self._max_length, "cpu"),
            self._folder,
            load_tokenizer(self._folder, self._options).model_input_names,
            self._max_length,
            self._precision,
            streams=devices.workers(self._options, on_cpu=True),
        )
        seconds = round(time.perf_counter() - started, 2)
        log.info("teacher loaded", library="openvino", dtype=self._precision, seconds=seconds)
        return forward
