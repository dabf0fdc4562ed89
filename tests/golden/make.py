"""Writes the golden fixtures that the Rust tests compare with: tiny random models and what PyTorch makes of them.

    python -m venv venv && venv/bin/pip install transformers==5.23.0 peft==0.21.2 torch==2.15.0
    venv/bin/python tests/golden/make.py            # writes beside this file; some 15 seconds on one CPU core; or those named

Every number is float32 on the CPU, computed from the files as saved (they are read back first). Logits, gradients and
AdamW steps are computed a second time in float64 (Gemma: row by row without padding; its norms and softmax stay float32
inside transformers), and the script stops if the two differ by more than NOISE or if a greedy token was a close call. So
a Rust test that is off by more than 1e-4 has most likely found a real difference.
"""
import contextlib
import json
import os
import pathlib
import shutil
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore", category=FutureWarning)
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertForSequenceClassification, DebertaV2Config, DebertaV2ForSequenceClassification,
                          GemmaConfig, GemmaForCausalLM, RobertaConfig, RobertaForSequenceClassification, XLMRobertaConfig,
                          XLMRobertaForSequenceClassification)
from transformers.utils import logging

HERE = pathlib.Path(__file__).resolve().parent
NOISE = 2e-5
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]

GEMMA = {
    "gemma-mqa": dict(
        seed=3, shape=dict(vocab_size=200, hidden_size=64, intermediate_size=128, num_hidden_layers=3,
                           num_attention_heads=4, num_key_value_heads=1, head_dim=32),
        adapter=dict(target_modules=ATTENTION + MLP)),
    "gemma-gqa": dict(  # config.json as transformers 4 wrote it, with another rope base so that reading it matters
        seed=2, shape=dict(vocab_size=160, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
                           num_attention_heads=6, num_key_value_heads=2, head_dim=16,
                           rope_parameters=dict(rope_type="default", rope_theta=500.0)),
        adapter=dict(target_modules=["q_proj", "v_proj", "down_proj"]), old_config=True),
    "gemma-mha": dict(  # in shards; a second adapter with per-module ranks and alphas
        seed=1, shape=dict(vocab_size=160, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
                           num_attention_heads=4, num_key_value_heads=4, head_dim=12),
        adapter=dict(target_modules=["k_proj", "o_proj", "gate_proj", "up_proj"], use_rslora=True), shard="60KB",
        patterns=dict(target_modules=["q_proj", "k_proj", "down_proj"],
                      rank_pattern={"k_proj": 2, "layers.1.mlp.down_proj": 5}, alpha_pattern={"q_proj": 10})),
}

V3 = dict(relative_attention=True, position_buckets=16, max_relative_positions=-1, max_position_embeddings=64,
          norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
          type_vocab_size=0)
DEBERTA = {
    "deberta-v3-2": dict(
        seed=11, length=70, labels=["no", "yes"],
        shape=dict(V3, vocab_size=150, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4)),
    "deberta-v3-3": dict(
        seed=12, length=66, labels=["contradicted", "neutral", "entailed"],
        shape=dict(V3, vocab_size=150, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3)),
    "deberta-v2": dict(  # the older layout; rel_embeddings are not normalised, pos_att_type is one string in config.json
        seed=13, length=62, labels=["contradicted", "neutral", "entailed"],
        shape=dict(vocab_size=150, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                   relative_attention=True, position_buckets=-1, max_relative_positions=24, max_position_embeddings=64,
                   norm_rel_ebd="none", share_att_key=False, pos_att_type=["c2p", "p2c"], position_biased_input=True,
                   type_vocab_size=2)),
}
ROBERTA = {
    "xlm-roberta": dict(
        seed=14, length=62, labels=["contradicted", "neutral", "entailed"],
        shape=dict(vocab_size=150, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                   max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1,
                   eos_token_id=2)),
    "roberta": dict(  # one logit, as rerankers have
        seed=15, length=44, labels=["relevant"],
        shape=dict(vocab_size=90, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3,
                   max_position_embeddings=48, type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1,
                   eos_token_id=2)),
    "bert": dict(
        seed=16, length=44, labels=["entailment", "neutral", "contradiction"],
        shape=dict(vocab_size=90, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3,
                   max_position_embeddings=44, type_vocab_size=2, pad_token_id=0)),
}
KINDS = {"xlm-roberta": (XLMRobertaForSequenceClassification, XLMRobertaConfig),
         "roberta": (RobertaForSequenceClassification, RobertaConfig), "bert": (BertForSequenceClassification, BertConfig)}


# How often values are dropped, another rate for each place, by the names of either config.
RATES = dict(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2)
DEBERTA_RATES = dict(RATES, pooler_dropout=0.3, cls_dropout=0.4)
ROBERTA_RATES = dict(RATES, classifier_dropout=0.3)


# ---- helpers --------------------------------------------------------------------------------------------------------

def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def normal(tensor, generator, std, mean=0.0):
    with torch.no_grad():
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))


def close(what, single, double, bound=NOISE):
    """Stops unless the float32 value and its float64 twin agree."""
    gap = (single.double() - double.double()).abs().max().item()
    if not gap <= bound:
        raise SystemExit(f"{what}: rounding moves it by {gap:.1e}; choose another seed")
    return gap


def step(parameters, loss, **options):
    """Gradients of `loss` and the values after one AdamW step, by name."""
    for p in parameters.values():
        p.grad = None
    loss.backward()
    grads = {n: p.grad.clone() for n, p in parameters.items()}
    before = {n: p.detach().clone() for n, p in parameters.items()}
    torch.optim.AdamW(parameters.values(), betas=(0.9, 0.999), **options).step()
    after = {n: p.detach().clone() for n, p in parameters.items()}
    with torch.no_grad():
        for n, p in parameters.items():
            p.copy_(before[n])
            p.grad = None
    return grads, after


def write(path, tensors):
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path)


# ---- Gemma and LoRA -------------------------------------------------------------------------------------------------

def gemma_base(folder, job, generator):
    config = GemmaConfig(max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=2, **job["shape"])
    model = GemmaForCausalLM(config)
    for name, p in model.named_parameters():
        # small embeddings, or the tied output head would mostly repeat the last token
        normal(p, generator, 0.1 if "norm" in name else 0.06 if "embed" in name else 0.2)
    model.save_pretrained(folder, max_shard_size=job.get("shard", "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if job.get("old_config"):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["torch_dtype"] = config.pop("dtype")
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        config["rope_scaling"] = None
        config["hidden_activation"] = config["hidden_act"]
        config["transformers_version"] = "4.40.1"
        for key in set(config) - {
                "architectures", "attention_bias", "attention_dropout", "bos_token_id", "eos_token_id", "head_dim",
                "hidden_act", "hidden_activation", "hidden_size", "initializer_range", "intermediate_size",
                "max_position_embeddings", "model_type", "num_attention_heads", "num_hidden_layers",
                "num_key_value_heads", "pad_token_id", "rms_norm_eps", "rope_scaling", "rope_theta", "torch_dtype",
                "transformers_version", "use_cache", "vocab_size"}:
            del config[key]
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        again = load_gemma(folder)  # the rewritten file must describe the same model
        ids = torch.arange(3, 23)[None]
        model.set_attn_implementation("eager")
        assert torch.equal(again(input_ids=ids).logits, model.eval()(input_ids=ids).logits)


def load_gemma(folder):
    return GemmaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def gemma_adapter(folder, place, options, generator):
    """Writes one PEFT adapter whose factors are all non-zero."""
    torch.manual_seed(0)
    model = get_peft_model(load_gemma(folder), LoraConfig(
        **dict(dict(r=4, lora_alpha=6, lora_dropout=0.0, task_type="CAUSAL_LM"), **options)))
    for name, p in model.named_parameters():
        if "lora_" in name:
            normal(p, generator, 0.15)
    model.peft_config["default"].base_model_name_or_path = folder.name
    model.save_pretrained(folder / place, save_embedding_layers=False)
    (folder / place / "README.md").unlink(missing_ok=True)
    path = folder / place / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])  # PEFT keeps a set: its order differs from run to run
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_adapter(folder, place="adapter"):
    model = PeftModel.from_pretrained(load_gemma(folder), folder / place, is_trainable=True).eval()
    factors = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    assert factors.keys() == load_file(folder / place / "adapter_model.safetensors").keys()
    return model, factors


def left_padded(lengths, vocab, generator):
    size = max(lengths)
    ids = torch.zeros(len(lengths), size, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, n in enumerate(lengths):
        ids[row, size - n:] = torch.randint(3, vocab, (n,), generator=generator)
        ids[row, size - n] = 2
        mask[row, size - n:] = 1
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def next_token_loss(logits, ids, mask):
    """Mean cross-entropy over every real token that follows a real token."""
    real = (mask[:, :-1] * mask[:, 1:]).bool()
    return torch.nn.functional.cross_entropy(logits[:, :-1][real], ids[:, 1:][real])


@torch.no_grad()
def greedy(model, prompt, count):
    ids = prompt[None]
    margin = float("inf")
    for _ in range(count):
        top = model(input_ids=ids).logits[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        ids = torch.cat([ids, top.indices[None, :1]], 1)
    new = ids[0, len(prompt):]
    cached = model.generate(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None], do_sample=False,
                            max_new_tokens=count, eos_token_id=None, pad_token_id=0)
    assert torch.equal(cached[0, len(prompt):], new), "generate() with its cache disagrees"
    if margin < 2e-3 or 1 in new or len(new.unique()) < 6:
        raise SystemExit(f"greedy: margin {margin:.1e}, tokens {new.tolist()}; choose another seed")
    return new, margin


def gemma(name, job):
    folder, generator = fresh(name), torch.Generator().manual_seed(job["seed"])
    gemma_base(folder, job, generator)
    gemma_adapter(folder, "adapter", job["adapter"], generator)
    ids, mask, positions = left_padded([9, 14, 5], job["shape"]["vocab_size"], generator)
    batch = dict(input_ids=ids, attention_mask=mask, position_ids=positions)
    real = mask.bool()
    prompt = ids[0][real[0]]
    out = dict(batch)

    base = load_gemma(folder)
    with torch.no_grad():
        out["logits"] = base(**batch).logits
    out["greedy_ids"], margin = greedy(base, prompt, 24)

    model, factors = load_adapter(folder)
    adamw = dict(lr=1e-2, eps=1e-8, weight_decay=0.01)
    out["adapter_greedy_ids"], adapter_margin = greedy(model, prompt, 24)
    logits = model(**batch).logits
    loss = next_token_loss(logits, ids, mask)
    out["adapter_logits"], out["loss"] = logits, loss
    grads, after = step(factors, loss, **adamw)
    out.update({f"grad.{n}": g for n, g in grads.items()} | {f"adamw.{n}": p for n, p in after.items()})
    pairs = preference_pairs(job["shape"]["vocab_size"], generator) if name == "gemma-mqa" else []
    rows, gradients = dpo(model, factors, pairs) if pairs else ([], {})

    if job.get("patterns"):
        gemma_adapter(folder, "adapter-patterns", job["patterns"], generator)
        with torch.no_grad():
            out["patterns_logits"] = load_adapter(folder, "adapter-patterns")[0](**batch).logits

    # the float64 twins, a row at a time and without padding
    rows_alone = [r[m].unsqueeze(0) for r, m in zip(ids, real)]

    def alone(model):
        return [model(input_ids=r).logits[0] for r in rows_alone]

    with torch.no_grad():
        close("logits", out["logits"][real], torch.cat(alone(base.double())))
    model = model.double()
    logits = alone(model)
    close("adapter logits", out["adapter_logits"][real], torch.cat(logits))
    grads, after = step(factors, torch.nn.functional.cross_entropy(
        torch.cat([x[:-1] for x in logits]), torch.cat([r[0, 1:] for r in rows_alone])), **adamw)
    gap = 0.0
    for n in factors:
        close(f"grad {n}", out[f"grad.{n}"], grads[n])
        gap = max(gap, close(f"adamw {n}", out[f"adamw.{n}"], after[n]))
    if pairs:
        twin_rows, twin_gradients = dpo(model, factors, pairs)
        for a, b in zip(rows, twin_rows):
            close("dpo", torch.tensor([a["policy_chosen"], a["policy_rejected"]]),
                  torch.tensor([b["policy_chosen"], b["policy_rejected"]]), 5e-5)
        for n in factors:
            close(f"dpo grad {n}", gradients[n], twin_gradients[n])
        mean = sum(r["loss"] for r in rows) / len(rows)
        accuracy = sum(r["reward_chosen"] > r["reward_rejected"] for r in rows) / len(rows)
        lines = ",\n".join(json.dumps(r) for r in rows)
        (folder / "dpo.json").write_text(
            f'{{"beta": {BETA}, "loss": {mean!r}, "accuracy": {accuracy!r}, "pairs": [\n{lines}\n]}}\n')
        write(folder / "dpo.safetensors", {f"dpo.grad.{n}": g for n, g in gradients.items()})
    write(folder / "golden.safetensors", out)
    print(f"{name}: loss {loss.item():.4f}, greedy margins {margin:.3f} {adapter_margin:.3f}, adamw noise {gap:.1e}, "
          f"adapter moves logits by {(out['adapter_logits'] - out['logits'])[real].abs().max().item():.2f}")


# ---- DPO ------------------------------------------------------------------------------------------------------------

BETA = 0.1


def preference_pairs(vocab, generator):
    def draw(n):
        return torch.randint(3, vocab, (n,), generator=generator).tolist()
    return [dict(prompt=[2] + draw(p), chosen=draw(c), rejected=draw(r)) for p, c, r in [(5, 7, 4), (3, 5, 9), (8, 6, 6)]]


def response_logprob(model, prompt, response):
    ids = torch.tensor([prompt + response])
    logprobs = model(input_ids=ids).logits[0, len(prompt) - 1:-1].log_softmax(-1)
    return logprobs.gather(1, torch.tensor(response)[:, None]).sum()


def dpo(model, factors, pairs):
    """Sigmoid DPO with the adapter as policy and the bare base as reference; loss and gradient of the mean."""
    rows, losses = [], []
    for pair in pairs:
        with torch.no_grad(), model.disable_adapter():
            reference = [response_logprob(model, pair["prompt"], pair[side]) for side in ("chosen", "rejected")]
        policy = [response_logprob(model, pair["prompt"], pair[side]) for side in ("chosen", "rejected")]
        chosen, rejected = (BETA * (p - r) for p, r in zip(policy, reference))
        losses.append(-torch.nn.functional.logsigmoid(chosen - rejected))
        values = dict(reference_chosen=reference[0], reference_rejected=reference[1], policy_chosen=policy[0],
                      policy_rejected=policy[1], reward_chosen=chosen, reward_rejected=rejected,
                      margin=chosen - rejected, loss=losses[-1])
        rows.append(pair | {k: v.item() for k, v in values.items()})
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(factors.values()))
    return rows, dict(zip(factors, gradients))


# ---- classifiers --------------------------------------------------------------------------------------------------------

def watched_of_roberta(names):
    parts = (".embeddings.", ".encoder.layer.1.", ".pooler.", "classifier.")
    wanted = [name for name in names if name.removeprefix("roberta").removeprefix("bert").startswith(parts)]
    return [name for name in wanted if "key.bias" not in name]


def watched(names, v3):
    """The parameters whose gradient and AdamW step are stored. No key bias: it hardly moves an attention row, so its
    gradient is mostly rounding."""
    layer = "deberta.encoder.layer.1."
    wanted = ["deberta.embeddings.word_embeddings.weight", "deberta.embeddings.LayerNorm.weight",
              "deberta.encoder.rel_embeddings.weight", layer + "attention.self.query_proj.weight",
              layer + "attention.self.query_proj.bias", layer + "attention.self.key_proj.weight",
              layer + "attention.self.value_proj.weight", layer + "attention.output.dense.weight",
              layer + "attention.output.LayerNorm.bias", layer + "intermediate.dense.weight",
              layer + "output.dense.weight", layer + "output.LayerNorm.weight", "pooler.dense.weight",
              "pooler.dense.bias", "classifier.weight", "classifier.bias"]
    if v3:
        wanted += ["deberta.encoder.LayerNorm.weight", "deberta.encoder.LayerNorm.bias"]
    else:
        wanted += ["deberta.embeddings.position_embeddings.weight", "deberta.embeddings.token_type_embeddings.weight",
                   layer + "attention.self.pos_key_proj.weight", layer + "attention.self.pos_query_proj.weight"]
    missing = set(wanted) - set(names)
    assert not missing, missing
    return wanted


@contextlib.contextmanager
def shrinking():
    """Dropout that makes every value smaller by its rate, so that each place where something is dropped shows."""
    dropout = torch.nn.functional.dropout
    torch.nn.functional.dropout = lambda x, p=0.5, training=True, inplace=False: x * (1 - p) if training else x
    yield
    torch.nn.functional.dropout = dropout


def classifier(name, job):
    folder, generator = fresh(name), torch.Generator().manual_seed(job["seed"])
    labels, v3, pad = job["labels"], job["shape"].get("share_att_key"), job["shape"].get("pad_token_id", 0)
    names = dict(id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)})
    if name in ROBERTA:
        kind, config = KINDS[name]
        model = kind(config(**job["shape"], **names, **ROBERTA_RATES))
    else:
        kind = DebertaV2ForSequenceClassification
        model = kind(DebertaV2Config(**job["shape"], layer_norm_eps=1e-7, pooler_hidden_act="gelu", **names,
                                     **DEBERTA_RATES))
    for parameter, p in model.named_parameters():
        if "LayerNorm.weight" in parameter:
            normal(p, generator, 0.1, mean=1.0)
        else:
            normal(p, generator, 0.1 if parameter.endswith("bias") else 0.2)
    model.save_pretrained(folder)
    if name == "deberta-v3-2":  # as older checkpoints are published
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    if v3 is False:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["pos_att_type"] = "c2p|p2c"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    lengths = [job["length"], 41, 9, 27]
    ids = torch.full((len(lengths), max(lengths)), pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, n in enumerate(lengths):
        ids[row, :n] = torch.randint(5, job["shape"]["vocab_size"], (n,), generator=generator)
        ids[row, 0], ids[row, n - 1] = 1 - pad, 2
        mask[row, :n] = 1
    targets = torch.tensor([min(1, len(labels) - 1), 0, len(labels) - 1, 0])
    batch = dict(input_ids=ids, attention_mask=mask)
    out = dict(batch, labels=targets)

    def run(model):
        parameters = dict(model.named_parameters())
        names = watched_of_roberta(parameters) if name in ROBERTA else watched(parameters, v3)
        parameters = {n: parameters[n] for n in names}
        logits = model(**batch).logits
        if len(labels) > 1:
            loss = torch.nn.functional.cross_entropy(logits, targets)
        else:  # there is nothing to choose between: any function of the logit tells whether gradients are right
            loss = logits.square().mean()
        grads, after = step(parameters, loss, lr=1e-3, eps=1e-6, weight_decay=0.01)
        return dict(logits=logits.detach(), loss=loss.detach()) | {f"grad.{n}": g for n, g in grads.items()} | {
            f"adamw.{n}": p for n, p in after.items()}

    out.update(run(model))
    if v3 is False or name == "bert":  # two segments, as for a pair of texts
        out["token_type_ids"] = (torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None] // 2).long() * mask
        with torch.no_grad():
            out["segment_logits"] = model(**batch, token_type_ids=out["token_type_ids"]).logits
    if name == "bert":  # embeddings of sentences, as sentence-transformers pools and normalizes them
        with torch.no_grad():
            hidden = model.bert(**batch).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        for pooling, embeddings in dict(mean=mean, cls=hidden[:, 0]).items():
            out[f"{pooling}_embeddings"] = torch.nn.functional.normalize(embeddings, dim=-1)
    if name in ROBERTA:  # a text that spells the token of padding
        spelt = ids.clone()
        spelt[:, 3] = pad
        with torch.no_grad():
            out["spelt_ids"], out["spelt_logits"] = spelt, model(input_ids=spelt, attention_mask=mask).logits
    with torch.no_grad(), shrinking():
        out["dropped_logits"] = model.train()(**batch).logits
        model.eval()
    gap = max(close(n, out[n], twin) for n, twin in run(model.double()).items())
    write(folder / "golden.safetensors", out)
    print(f"{name}: loss {out['loss'].item():.4f}, noise {gap:.1e}, logits {out['logits'].tolist()}")


def main():
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    wanted = sys.argv[1:] or [*GEMMA, *DEBERTA, *ROBERTA]
    for name in wanted:
        if name in GEMMA:
            gemma(name, GEMMA[name])
        else:
            classifier(name, (DEBERTA | ROBERTA)[name])
    print(sum(f.stat().st_size for f in HERE.rglob("*") if f.is_file()), "bytes in all")


if __name__ == "__main__":
    main()
