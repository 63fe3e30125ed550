"""The second reading: a small neural network, asked where the first reading is in doubt."""

import os
from typing import Final

SILENCE: Final = "ORT_DISABLE_TELEMETRY"
"""ONNX Runtime from 1.29 on reports to its makers and keeps an identifier of the machine in the user's cache, unless
this is set before it is loaded; then neither exists for as long as the process lives."""

os.environ[SILENCE] = "1"
