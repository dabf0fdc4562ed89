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


def main():
    OUT.mkdir(exist_ok=True)
    tensors = {}
    for name, values in load_file(HERE / "gemma-mqa" / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = values
            continue
        bits, group = (4, 32) if "self_attn" in name else (8, None)
        tensors |= {f"{name}_{part}": tensor for part, tensor in packed(values, bits, group).items()}
    save_file(tensors, OUT / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((HERE / "gemma-mqa" / "config.json").read_text())
    weights = lambda bits, strategy, group: dict(num_bits=bits, type="int", symmetric=True, strategy=strategy, group_size=group)
    config["quantization_config"] = dict(
        quant_method="compressed-tensors", format="pack-quantized", quantization_status="compressed", ignore=["lm_head"],
        config_groups=dict(group_0=dict(targets=["re:.*self_attn.*"], weights=weights(4, "group", 32)),
                           group_1=dict(targets=["re:.*mlp.*"], weights=weights(8, "channel", None))))
    (OUT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = GemmaForCausalLM.from_pretrained(OUT, quantization_config=CompressedTensorsConfig(dequantize=True),
                                             dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        save_file(dict(logits=model(IDS).logits[0]), OUT / "golden.safetensors")


main()
