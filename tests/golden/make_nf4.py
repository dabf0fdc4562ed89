"""Writes tests/golden/nf4: what bitsandbytes makes of matrices, and quantized Gemmas with transformers' logits.

Needs torch, transformers, bitsandbytes and safetensors. Run from the project's root: python tests/golden/make_nf4.py
"""
import shutil
import warnings
from pathlib import Path

import torch
from bitsandbytes.functional import QuantState, dequantize_4bit, quantize_4bit
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, GemmaForCausalLM

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
OUT = HERE / "nf4"
SHAPES = [(1, 1), (1, 7), (3, 5), (8, 8), (16, 4), (5, 64), (64, 5), (13, 11), (32, 32), (2, 130),
          (48, 16), (7, 9), (24, 40), (40, 24), (1, 64), (64, 1), (3, 128), (17, 17), (20, 36), (50, 10)]


def matrices(generator):
    tensors = {}
    for place, shape in enumerate(SHAPES):
        values = torch.randn(shape, generator=generator) * 10 ** (place % 5 - 2)
        if place == 8:
            values[:4] = 0  # whole blocks of zeros
        if place % 3 == 2:
            values = values.bfloat16().float()
        codes, state = quantize_4bit(values, blocksize=64, quant_type="nf4")
        tensors |= {f"{place}.values": values, f"{place}.codes": codes.flatten(), f"{place}.absmax": state.absmax}
    save_file(tensors, OUT / "matrices.safetensors")


def checkpoint(place, nested):
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested,
                                  bnb_4bit_compute_dtype=torch.float32)
    model = GemmaForCausalLM.from_pretrained(HERE / "gemma-mqa", quantization_config=settings, dtype=torch.float32,
                                             device_map="cpu", attn_implementation="eager").eval()
    model.save_pretrained(OUT / place)
    (OUT / place / "generation_config.json").unlink(missing_ok=True)
    # On processors with AVX-512 bitsandbytes multiplies in bfloat16: its own dequantized weights in a dense model are exact.
    tensors = load_file(OUT / place / "model.safetensors")
    dense = GemmaForCausalLM.from_pretrained(HERE / "gemma-mqa", dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in dense.state_dict().items():
            if name.endswith("_proj.weight"):
                parts = {key.removeprefix(name + "."): value for key, value in tensors.items() if key.startswith(name + ".")}
                weight.copy_(dequantize_4bit(tensors[name], QuantState.from_dict(parts, device="cpu")))
        return dense(input_ids=torch.tensor([[2, 8, 9, 10, 11, 40, 3]])).logits[0]


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
matrices(torch.Generator().manual_seed(5))
save_file({place: checkpoint(place, place == "nested") for place in ("plain", "nested")}, OUT / "logits.safetensors")
