"""Writes the golden fixtures of the decoders besides Gemma 1: Gemma 2, 3 and 4, Llama, Mistral, Qwen2 and Qwen3.

    python -m venv venv && venv/bin/pip install transformers==5.23.0 peft==0.21.2 torch==2.15.0 bitsandbytes==0.50.2
    venv/bin/python tests/golden/make_decoders.py   # writes beside this file; half a minute; or those named

The numbers mean what they mean in make.py, and are checked against float64 as they are there. Besides, the script stops
if what sets a family apart (its windows, its caps, its rope) hardly moves the logits of real tokens: `without` names
those settings and the values that take them away.

NF4: the golden logits are those of a float32 model with the weights that bitsandbytes' codes and scales stand for. Its own
dequantize_4bit is not used: on a CPU, version 0.50.2 decodes a matrix wrongly whose rows are no multiple of a block.
By itself transformers quantizes every linear layer but the output head, and so in Gemma 4 also per_layer_input_gate,
per_layer_projection and per_layer_model_projection; here they are skipped: only the layers' *_proj are quantized.
"""
import json
import sys
import warnings

import make
import torch
from bitsandbytes.nn import Linear4bit
from make import (ATTENTION, HERE, MLP, close, fresh, greedy, left_padded, load_adapter, next_token_loss, normal, step,
                  write)
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, Gemma2Config,
                          Gemma3ForConditionalGeneration, Gemma3TextConfig, Gemma4ForConditionalGeneration,
                          Gemma4TextConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config)
from transformers.utils import logging

TOKENS = 64
MOVED = 0.02  # what a setting has to move logits by, at least
SKIPPED = ["lm_head", "per_layer_input_gate", "per_layer_projection", "per_layer_model_projection"]
SMALL = dict(vocab_size=96, max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=2,
             num_attention_heads=4)
MEDIUM = dict(SMALL, hidden_size=32)
DEEP = dict(SMALL, hidden_size=24, intermediate_size=32)  # narrow, as it has many layers
E2B = dict(SMALL, hidden_size=16, intermediate_size=24, num_hidden_layers=8, num_key_value_heads=1, head_dim=8,
           global_head_dim=16, sliding_window=5, final_logit_softcapping=4.0, hidden_size_per_layer_input=8,
           vocab_size_per_layer_input=96, num_kv_shared_layers=4, use_double_wide_mlp=True, attention_k_eq_v=False,
           layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 2)
WIDE = dict(sliding_window=1000)


def rope(theta):
    return dict(rope_parameters=dict(rope_type="default", rope_theta=theta))


def gemma3_rope(full, sliding):
    return dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=full),
                sliding_attention=dict(rope_type="default", rope_theta=sliding))


def gemma4_rope(full):
    return dict(full_attention=full, sliding_attention=dict(rope_type="default", rope_theta=10_000.0))


GEMMA4_TURNED = dict(rope_parameters=gemma4_rope(dict(rope_type="default", rope_theta=1_000_000.0)))  # every pair is
JOBS = {
    "gemma2": dict(
        seed=10, nf4=True, config=lambda: Gemma2Config(
            **MEDIUM, intermediate_size=48, num_hidden_layers=4, num_key_value_heads=2, head_dim=8, sliding_window=4,
            attn_logit_softcapping=5.0, final_logit_softcapping=3.0, query_pre_attn_scalar=4),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP),
        without=[WIDE, dict(attn_logit_softcapping=None), dict(final_logit_softcapping=None),
                 dict(query_pre_attn_scalar=8)]),
    "gemma3": dict(
        seed=4, nf4=True, config=lambda: Gemma3TextConfig(
            **DEEP, num_hidden_layers=7, num_key_value_heads=1, head_dim=16, sliding_window=5, query_pre_attn_scalar=24,
            rope_parameters=gemma3_rope(1_000_000.0, 10_000.0)),
        adapter=dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "up_proj"]),
        without=[WIDE, dict(query_pre_attn_scalar=16), dict(rope_parameters=dict(
            gemma3_rope(1_000_000.0, 10_000.0), full_attention=dict(rope_type="default", rope_theta=1_000_000.0)))]),
    "gemma3-multimodal": dict(  # the text model is computed, then its files are laid out anew
        seed=19, relaid="gemma3", config=lambda: Gemma3TextConfig(
            **MEDIUM, intermediate_size=48, num_hidden_layers=4, num_key_value_heads=2, head_dim=8, sliding_window=6,
            sliding_window_pattern=3, query_pre_attn_scalar=12, rope_parameters=gemma3_rope(50_000.0, 500.0)),
        adapter=dict(r=2, lora_alpha=3, target_modules=["q_proj", "k_proj", "o_proj", "gate_proj", "down_proj"]),
        without=[WIDE, dict(query_pre_attn_scalar=8), dict(rope_parameters=dict(
            gemma3_rope(50_000.0, 500.0), full_attention=dict(rope_type="default", rope_theta=50_000.0)))]),
    "gemma4": dict(
        seed=9, nf4=True, config=lambda: Gemma4TextConfig(
            **DEEP, num_hidden_layers=7, num_key_value_heads=2, num_global_key_value_heads=1, head_dim=8,
            global_head_dim=16, attention_k_eq_v=True, hidden_size_per_layer_input=0, sliding_window=5,
            final_logit_softcapping=3.0),
        adapter=dict(r=2, lora_alpha=3, target_modules=["q_proj", "k_proj", "v_proj", "down_proj"]),
        without=[WIDE, GEMMA4_TURNED, dict(final_logit_softcapping=None)]),
    "gemma4-e2b": dict(
        seed=42, nf4=True, config=lambda: Gemma4TextConfig(**E2B),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP),
        without=[WIDE, GEMMA4_TURNED, dict(final_logit_softcapping=None)]),
    "gemma4-e2b-keys": dict(seed=3, relaid="gemma4", config=lambda: Gemma4TextConfig(**E2B),
                            without=[WIDE, GEMMA4_TURNED]),
    "llama": dict(
        seed=6, nf4=True, config=lambda: LlamaConfig(
            **MEDIUM, intermediate_size=64, num_hidden_layers=3, num_key_value_heads=2, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="llama3", rope_theta=500_000.0, factor=8.0, low_freq_factor=1.0,
                                 high_freq_factor=4.0, original_max_position_embeddings=16)),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP),
        without=[rope(500_000.0), rope(10_000.0)]),
    "llama-untied": dict(
        seed=1, old_config=True, config=lambda: LlamaConfig(
            **MEDIUM, intermediate_size=48, num_hidden_layers=3, num_key_value_heads=4, attention_bias=True,
            mlp_bias=True, **rope(2000.0)),
        adapter=dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"]), without=[rope(10_000.0)]),
    "mistral": dict(
        seed=1, nf4=True, config=lambda: MistralConfig(
            **MEDIUM, intermediate_size=48, num_hidden_layers=3, num_key_value_heads=2, head_dim=16, sliding_window=5,
            **rope(1_000_000.0)),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP), without=[WIDE, rope(10_000.0)]),
    "qwen2": dict(
        seed=2, nf4=True, config=lambda: Qwen2Config(
            **MEDIUM, intermediate_size=64, num_hidden_layers=3, num_key_value_heads=2, tie_word_embeddings=True,
            use_sliding_window=True, max_window_layers=1, sliding_window=5, **rope(1_000_000.0)),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP),
        without=[WIDE, dict(layer_types=["sliding_attention"] * 3), rope(10_000.0)]),
    "qwen3": dict(
        seed=2, nf4=True, config=lambda: Qwen3Config(
            **MEDIUM, intermediate_size=48, num_hidden_layers=3, num_key_value_heads=2, head_dim=16,
            **rope(1_000_000.0)),
        adapter=dict(r=2, lora_alpha=3, target_modules=ATTENTION + MLP), without=[rope(10_000.0)]),
}


# ---- models ---------------------------------------------------------------------------------------------------------

def load(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                **options).eval()


make.load_gemma = load  # what make.py does with adapters, it now does with any of these models


def base(folder, job, generator):
    model = AutoModelForCausalLM.from_config(job["config"]())
    plain = not model.config.model_type.startswith(("gemma2", "gemma3"))  # norms multiply by w, not by 1 + w
    for name, p in model.named_parameters():
        if "norm" in name:
            normal(p, generator, 0.3, mean=float(plain))
        else:
            # small embeddings, or the tied output head would mostly repeat the last token
            normal(p, generator, 0.15 if "embed_tokens." in name else 0.25)
    for name, scalar in model.named_buffers():
        if name.endswith("layer_scalar"):
            scalar.copy_(0.5 + torch.rand(scalar.shape, generator=generator))
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if job.get("old_config"):  # as transformers 4 wrote it
        config = json.loads((folder / "config.json").read_text())
        config["torch_dtype"] = config.pop("dtype")
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        config["rope_scaling"] = None
        del config["head_dim"]
        config["transformers_version"] = "4.40.1"
        save_json(folder / "config.json", config)


def save_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


# ---- golden numbers -------------------------------------------------------------------------------------------------

@torch.no_grad()
def differences(folder, job, batch, logits):
    """How far the logits of real tokens move when a setting is taken away."""
    real, told = batch["attention_mask"].bool(), []
    for change in job["without"]:
        config = AutoConfig.from_pretrained(folder)
        for key, value in change.items():
            setattr(config, key, value)
        moved = (load(folder, config=config)(**batch).logits - logits)[real].abs().max().item()
        if moved < MOVED:
            raise SystemExit(f"{folder.name}: {change} moves the logits by {moved:.1e} only")
        told.append(f"{', '.join(change)} {moved:.2f}")
    return told


def dequantized(packed, state):
    """What codes stand for: two to a byte, the first in the high half, each block of them with its scale."""
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten().long()
    return (state.code[codes].reshape(-1, state.blocksize) * state.absmax[:, None]).flatten()


@torch.no_grad()
def nf4(folder, batch):
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=False,
                                  bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=SKIPPED)
    quantized = AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, dtype=torch.float32,
                                                     device_map="cpu")
    dense, found = load(folder), set()
    for name, module in quantized.named_modules():
        if isinstance(module, Linear4bit):
            found.add(name)
            weight = dense.get_submodule(name).weight
            weight.copy_(dequantized(module.weight.data, module.weight.quant_state)[:weight.numel()].view(weight.shape))
    wanted = {n for n, m in dense.named_modules() if n.endswith("_proj") and isinstance(m, torch.nn.Linear)}
    assert found == wanted, found ^ wanted
    return dense(**batch).logits


def fixture(name, job):
    folder, generator = fresh(name), torch.Generator().manual_seed(job["seed"])
    base(folder, job, generator)
    ids, mask, positions = left_padded([15, 18, 14], SMALL["vocab_size"], generator)
    batch, real = dict(input_ids=ids, attention_mask=mask, position_ids=positions), mask.bool()
    prompt, out = ids[0][real[0]], dict(batch)
    model = load(folder)
    with torch.no_grad():
        out["logits"] = model(**batch).logits
    out["greedy_ids"], margin = greedy(model, prompt, TOKENS)
    told = [f"greedy margin {margin:.4f}", *differences(folder, job, batch, out["logits"])]

    # the float64 twins, a row at a time and without padding
    def alone(model):
        return [model(input_ids=r[m].unsqueeze(0)).logits[0] for r, m in zip(ids, real)]

    with torch.no_grad():
        close("logits", out["logits"][real], torch.cat(alone(model.double())))

    if "adapter" in job:
        make.gemma_adapter(folder, "adapter", job["adapter"], generator)
        model, factors = load_adapter(folder)
        adamw = dict(lr=1e-2, eps=1e-8, weight_decay=0.01)
        out["adapter_greedy_ids"], margin = greedy(model, prompt, TOKENS)
        logits = model(**batch).logits
        loss = next_token_loss(logits, ids, mask)
        out["adapter_logits"], out["loss"] = logits, loss
        grads, after = step(factors, loss, **adamw)
        out.update({f"grad.{n}": g for n, g in grads.items()} | {f"adamw.{n}": p for n, p in after.items()})

        model = model.double()
        logits = alone(model)
        close("adapter logits", out["adapter_logits"][real], torch.cat(logits))
        grads, after = step(factors, torch.nn.functional.cross_entropy(
            torch.cat([x[:-1] for x in logits]), torch.cat([ids[r][real[r]][1:] for r in range(len(ids))])), **adamw)
        noise = max(close(f"grad {n}", out[f"grad.{n}"], grads[n]) for n in factors)
        largest = max(g.abs().max().item() for g in grads.values())
        for n in factors:
            close(f"adamw {n}", out[f"adamw.{n}"], after[n])
        told += [f"adapter margin {margin:.4f}", f"loss {loss.item():.3f}",
                 f"gradients to {largest:.1f}, noise {noise:.0e}",
                 f"adapter {(out['adapter_logits'] - out['logits'])[real].abs().max().item():.2f}"]
    if job.get("nf4"):
        (folder / "nf4").mkdir()
        logits = nf4(folder, batch)
        write(folder / "nf4" / "nf4.safetensors", dict(logits=logits))
        told.append(f"nf4 {(logits - out['logits'])[real].abs().max().item():.2f}")
    if "relaid" in job:
        LAYOUTS[job["relaid"]](folder, out, generator)
    write(folder / "golden.safetensors", out)
    print(f"{name}: {'; '.join(told)}", flush=True)


# ---- files as Google lays them out ----------------------------------------------------------------------------------

def other_tensors(shapes, generator):
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def same(folder, kind, out, places=("logits",)):
    """The multimodal class must read the files and find the text model's numbers."""
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    batch = {k: out[k] for k in ("input_ids", "attention_mask", "position_ids")}
    real = out["attention_mask"].bool()
    for place in places:
        if place == "adapter_logits":
            with warnings.catch_warnings(action="ignore"):  # the adapter has nothing for the vision tower's q_proj
                model = PeftModel.from_pretrained(model, folder / "adapter").eval()
        with torch.no_grad():
            close(f"{folder.name} {place}", model(**batch).logits[real], out[place][real])


def relay_gemma3(folder, out, generator):
    """As the first gemma-3-4b-it: config.json of transformers 4.50 and the names of then."""
    text = json.loads((folder / "config.json").read_text())
    rope = text.pop("rope_parameters")
    kept = ["head_dim", "hidden_size", "intermediate_size", "max_position_embeddings", "model_type",
            "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "query_pre_attn_scalar",
            "sliding_window", "vocab_size"]  # what equals the default was not written
    save_json(folder / "config.json", dict(
        architectures=["Gemma3ForConditionalGeneration"], boi_token_index=255999, eoi_token_index=256000,
        eos_token_id=[1, 106], image_token_index=262144, initializer_range=0.02, mm_tokens_per_image=4,
        model_type="gemma3", text_config={k: text[k] for k in kept} | dict(
            rope_local_base_freq=rope["sliding_attention"]["rope_theta"],
            rope_scaling=dict(factor=8.0, rope_type="linear"), rope_theta=rope["full_attention"]["rope_theta"],
            sliding_window_pattern=3),
        torch_dtype="float32", transformers_version="4.50.0.dev0",
        vision_config=dict(hidden_size=8, image_size=16, intermediate_size=8, model_type="siglip_vision_model",
                           num_attention_heads=2, num_hidden_layers=1, patch_size=8, vision_use_head=False)))
    tensors = {f"language_model.{k}": v for k, v in load_file(folder / "model.safetensors").items()}
    vision, layer = "vision_tower.vision_model.", "vision_tower.vision_model.encoder.layers.0."
    write(folder / "model.safetensors", tensors | other_tensors({
        vision + "embeddings.patch_embedding.weight": (8, 3, 8, 8),
        vision + "embeddings.position_embedding.weight": (4, 8), layer + "self_attn.q_proj.weight": (8, 8),
        layer + "self_attn.q_proj.bias": (8,), vision + "post_layernorm.weight": (8,),
        "multi_modal_projector.mm_input_projection_weight": (8, 32),
        "multi_modal_projector.mm_soft_emb_norm.weight": (8,)}, generator))
    path = folder / "adapter" / "adapter_model.safetensors"
    old, new = "model.model.layers.", "model.model.language_model.layers."
    write(path, {k.replace(old, new): v for k, v in load_file(path).items()})
    out.update({k.replace(old, new): out.pop(k) for k in list(out) if old in k})
    same(folder, Gemma3ForConditionalGeneration, out, ("logits", "adapter_logits"))


def relay_gemma4(folder, out, generator):
    """As gemma-4-E2B: an outer config, and keys and values also for layers that borrow them."""
    config = json.loads((folder / "config.json").read_text())
    version, layers = config.pop("transformers_version"), config.pop("per_layer_config")
    dtype = config["dtype"]
    config.pop("architectures")
    config |= dict(global_head_dim=E2B["global_head_dim"], num_global_key_value_heads=None)
    save_json(folder / "config.json", dict(
        architectures=["Gemma4ForConditionalGeneration"], audio_token_id=258881, boa_token_id=256000,
        boi_token_id=255999, dtype=dtype, eoa_token_index=258883, eoi_token_id=258882, eos_token_id=[1, 106],
        image_token_id=258880, initializer_range=0.02,
        model_type="gemma4", text_config=config, tie_word_embeddings=True, transformers_version=version,
        video_token_id=258884, vision_soft_tokens_per_image=4,
        vision_config=dict(head_dim=4, hidden_size=8, intermediate_size=8, model_type="gemma4_vision",
                           num_attention_heads=2, num_hidden_layers=1, num_key_value_heads=2, patch_size=4,
                           position_embedding_size=16),
        audio_config=dict(hidden_size=8, model_type="gemma4_audio", num_attention_heads=2, num_hidden_layers=1,
                          output_proj_dims=16, subsampling_conv_channels=[4, 4])))
    assert {int(k) for k in layers} == {3, 7}
    tensors = load_file(folder / "model.safetensors")
    tensors = {k.replace("model.", "model.language_model.", 1): v for k, v in tensors.items()}
    unused = {}
    for layer in range(4, 8):
        place, size = f"model.language_model.layers.{layer}.self_attn.", 16 if layer == 7 else 8
        unused |= {place + "k_proj.weight": (size, 16), place + "v_proj.weight": (size, 16),
                   place + "k_norm.weight": (size,)}
    assert not unused.keys() & tensors.keys()
    write(folder / "model.safetensors", tensors | other_tensors(unused | {
        "model.vision_tower.patch_embedder.input_proj.weight": (8, 48),
        "model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight": (8, 8),
        "model.vision_tower.encoder.layers.0.self_attn.k_norm.weight": (4,),
        "model.audio_tower.layers.0.self_attn.q_proj.linear.weight": (8, 8),
        "model.audio_tower.layers.0.self_attn.q_proj.input_max": (), "model.audio_tower.output_proj.weight": (16, 8),
        "model.audio_tower.output_proj.bias": (16,), "model.embed_vision.embedding_projection.weight": (16, 8),
        "model.embed_audio.embedding_projection.weight": (16, 16)}, generator))
    same(folder, Gemma4ForConditionalGeneration, out)


LAYOUTS = dict(gemma3=relay_gemma3, gemma4=relay_gemma4)


def main():
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    names = sys.argv[1:] or list(JOBS)
    for name in names:
        fixture(name, JOBS[name])
    print(sum(f.stat().st_size for name in names for f in (HERE / name).rglob("*") if f.is_file()), "bytes in all")


if __name__ == "__main__":
    main()
