"""Writes `dpo-run/`: a tiny Gemma with a tokenizer, preference pairs, a first adapter, and what TRL's DPOTrainer logs.

    venv/bin/pip install trl==1.16.0 datasets     # beside what make.py needs
    venv/bin/python tests/golden/make_dpo_run.py

The pairs come in order, two to a batch, three batches to an optimizer step, and the last step of an epoch has only two;
`steps.{name}.jsonl` has a line per step. `chat` are the same pairs as conversations, with the sigmoid loss.
"""
import json
import os
import pathlib
import random
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from torch.utils.data import SequentialSampler
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

HERE = pathlib.Path(__file__).resolve().parent / "dpo-run"
WORDS = "the keeper of a lighthouse mends nets and reads old maps by lamplight while rain falls on slate roofs".split()
LOGGED = ["loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "grad_norm",
          "learning_rate"]


TEMPLATE = ("""{{ bos_token }}{% for message in messages %}
{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) }}
{{ message['content'] | trim }}<end_of_turn>
{% endfor %}
{% if add_generation_prompt %}
<start_of_turn>model
{% endif %}""")


def tokenizer():
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tok = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=special + [f"<0x{b:02X}>" for b in range(256)], show_progress=False)
    tok.train_from_iterator([" ".join(WORDS)] * 8, trainer)
    tok.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tok, chat_template=TEMPLATE, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    torch.manual_seed(5)
    rng = random.Random(5)
    tok = tokenizer()
    config = GemmaConfig(vocab_size=len(tok), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=12, max_position_embeddings=64, bos_token_id=2, eos_token_id=1,
                         pad_token_id=0, initializer_range=0.2)
    gemma = GemmaForCausalLM(config)
    gemma.save_pretrained(HERE)
    tok.save_pretrained(HERE)

    def text(most):
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))

    said = [dict(prompt=text(12), chosen=text(9), rejected=text(9)) for _ in range(16)]
    said[3]["chosen"] = text(60)  # is cut
    pairs = [pair | dict(prompt=f"<start_of_turn>user\n{pair['prompt']}<end_of_turn>\n<start_of_turn>model\n") for pair in said]
    chats = [{side: [dict(role="user" if side == "prompt" else "assistant", content=content)] for side, content in pair.items()}
             for pair in said]
    for name, rows in [("pairs", pairs), ("chats", chats)]:
        (HERE / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj", "gate_proj"])
    first = get_peft_model(gemma, lora)
    for name, factor in first.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(factor, std=0.05)
    first.save_pretrained(HERE / "init")

    from peft import PeftModel
    for name, loss, rows in [("sigmoid", "sigmoid", pairs), ("hinge", "hinge", pairs), ("ipo", "ipo", pairs),
                             ("chat", "sigmoid", chats)]:
        model = PeftModel.from_pretrained(GemmaForCausalLM.from_pretrained(HERE), HERE / "init", is_trainable=True)
        with tempfile.TemporaryDirectory() as output:
            args = DPOConfig(
                output_dir=output, per_device_train_batch_size=2, gradient_accumulation_steps=3, num_train_epochs=2,
                learning_rate=5e-3, beta=0.3, loss_type=[loss], max_length=48, logging_steps=1, save_strategy="no", report_to=[],
                bf16=False, use_cpu=True, gradient_checkpointing=False, disable_tqdm=True, lr_scheduler_type="linear",
                warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0, seed=0)
            trainer = DPOTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tok)
            trainer._get_train_sampler = lambda dataset=None: SequentialSampler(trainer.train_dataset)
            trainer.train()
            steps = [{key: row[key] for key in LOGGED} for row in trainer.state.log_history if "loss" in row]
        (HERE / f"steps.{name}.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    for path in [HERE / "init" / "README.md", HERE / "generation_config.json"]:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
