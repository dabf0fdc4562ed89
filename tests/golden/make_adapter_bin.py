"""Writes gemma-mqa/adapter-bin, the adapter as PEFT saves it without safetensors: python make_adapter_bin.py"""

from pathlib import Path

from peft import PeftModel
from transformers import AutoModelForCausalLM

folder = Path(__file__).parent / "gemma-mqa"
base = AutoModelForCausalLM.from_pretrained(folder)
model = PeftModel.from_pretrained(base, folder / "adapter")
model.save_pretrained(folder / "adapter-bin", safe_serialization=False)
(folder / "adapter-bin" / "README.md").unlink(missing_ok=True)
