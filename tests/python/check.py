"""Compares numbers that `apc` printed with what transformers and PEFT make of the same folders.

    python check.py --model DIR [--adapter DIR] --prompt TEXT --response TEXT --expect FILE.json   {"logprobs": [...]}
    python check.py --classifier DIR --expect FILE.json          {"texts": [...], "probabilities": [[...], ...]}

Log-probabilities: one for each token of the response, given the prompt (with its <bos>) and the response before it; the
response is tokenised apart from the prompt, with no special tokens. Prints the greatest difference; exits with 1 when it is over
the tolerance, when the counts differ or when a number is not finite. Needs transformers==5.23.0, peft==0.21.2, torch==2.15.0.
"""
import argparse
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer


@torch.no_grad()
def response_logprobs(model_dir, adapter_dir, prompt, response):
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    if adapter_dir:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapter_dir)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    head = tokenizer(prompt).input_ids
    tail = torch.tensor(tokenizer(response, add_special_tokens=False).input_ids)
    ids = torch.cat([torch.tensor(head), tail])[None]
    rows = model(input_ids=ids).logits[0, len(head) - 1:-1].log_softmax(-1)
    return rows.gather(1, tail[:, None])[:, 0]


@torch.no_grad()
def class_probabilities(classifier_dir, texts):
    model = AutoModelForSequenceClassification.from_pretrained(classifier_dir, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(classifier_dir)
    # one text at a time: no padding, so nothing but the model itself is compared
    return torch.cat([model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1) for text in texts])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("model", "adapter", "classifier", "prompt", "response"):
        parser.add_argument("--" + flag)
    parser.add_argument("--expect", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    if bool(args.model) == bool(args.classifier):
        parser.error("give one of --model and --classifier")
    if args.model and (args.prompt is None or args.response is None):
        parser.error("--model needs --prompt and --response")
    with open(args.expect, encoding="utf-8") as file:
        expect = json.load(file)
    if args.model:
        want = torch.tensor(expect["logprobs"], dtype=torch.float64)
        have = response_logprobs(args.model, args.adapter, args.prompt, args.response)
    else:
        want = torch.tensor(expect["probabilities"], dtype=torch.float64)
        have = class_probabilities(args.classifier, expect["texts"])
    if want.shape != have.shape:
        sys.exit(f"shapes differ: {list(want.shape)} expected, {list(have.shape)} computed")
    gap = (want - have.double()).abs().max().item()
    print(f"{want.numel()} values, greatest difference {gap:.2e}")
    sys.exit(0 if gap <= args.tolerance else 1)  # a NaN compares false and fails


if __name__ == "__main__":
    main()
