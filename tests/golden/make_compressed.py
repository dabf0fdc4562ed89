"""Writes tests/golden/compressed: a Gemma as compressed-tensors packs it, and transformers' logits for it.

Needs torch, transformers, compressed-tensors and safetensors. Run from the project's root: python tests/golden/make_compressed.py
"""
import json
import warnings
from pathlib import Path

import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import load_file, save_file
from transformers import GemmaForCausalLM
from transformers.utils.quantization_config import CompressedTensorsConfig

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
OUT = HERE / "compressed"
IDS = torch.tensor([[2, 8, 9, 10, 11, 40, 3]])


def packed(values, bits, group):
    rows, columns = values.shape
    groups = values.reshape(rows, -1, group or columns)
    scale = groups.abs().amax(2, keepdim=True) / (2 ** (bits - 1) - 0.5)
    codes = (groups / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)
    return dict(packed=pack_to_int32(codes.reshape(rows, columns), bits), scale=scale.squeeze(2).contiguous(),
                shape=torch.tensor([rows, columns]))


def write(place, bits, group):
    folder = OUT / place
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, values in load_file(HERE / "gemma-mqa" / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            tensors |= {f"{name}_{part}": tensor for part, tensor in packed(values, bits, group).items()}
        else:
            tensors[name] = values
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((HERE / "gemma-mqa" / "config.json").read_text())
    weights = dict(num_bits=bits, type="int", symmetric=True, strategy="group" if group else "channel", group_size=group)
    config["quantization_config"] = dict(
        quant_method="compressed-tensors", format="pack-quantized", quantization_status="compressed", ignore=["lm_head"],
        config_groups=dict(group_0=dict(targets=["Linear"], weights=weights)))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = GemmaForCausalLM.from_pretrained(folder, quantization_config=CompressedTensorsConfig(dequantize=True),
                                             dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        save_file(dict(logits=model(IDS).logits[0]), folder / "golden.safetensors")


# transformers reads one number of bits a checkpoint.
write("4-bit", 4, 32)
write("8-bit", 8, None)
