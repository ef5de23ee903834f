"""Prints the versions that a benchmark result records."""

import json
import platform

import torch
import transformers

print(json.dumps({"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}))
