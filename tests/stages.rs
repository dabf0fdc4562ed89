//! The stage commands on checkpoints from any folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};

fn run(arguments: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("APC_DEVICE")
        .output()
        .unwrap()
}

/// The one line of JSON that a successful run prints.
fn json_of(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/dpo-run")
        .join(name)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The arguments of the run whose numbers TRL has logged.
fn dpo<'a>(loss: &'a str, output: &'a str, init: &'a str, pairs: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["dpo", "--model", "tests/golden/dpo-run", "--loss", loss];
    arguments.extend(["--output", output, "--adapter", init, "--pairs", pairs]);
    arguments.extend(["--epochs", "2", "--batch-size", "2", "--accumulate", "3"]);
    arguments.extend([
        "--learning-rate",
        "5e-3",
        "--beta",
        "0.3",
        "--max-length",
        "48",
    ]);
    arguments.extend(["--no-shuffle", "--format", "json"]);
    arguments
}

#[test]
fn dpo_logs_the_numbers_that_trl_logs_step_by_step() {
    let init = golden("init");
    for (name, loss, pairs, flag) in [
        ("sigmoid", "sigmoid", "pairs.jsonl", None),
        (
            "sigmoid",
            "sigmoid",
            "pairs.jsonl",
            Some("--gradient-checkpointing"),
        ),
        ("hinge", "hinge", "pairs.jsonl", None),
        ("ipo", "ipo", "pairs.jsonl", None),
        ("chat", "sigmoid", "chats.jsonl", None),
    ] {
        let pairs = golden(pairs);
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("adapter");
        let mut arguments = dpo(loss, path(&output), path(&init), path(&pairs));
        arguments.extend(flag);
        let got = json_of(&arguments);
        let steps = got["steps"].as_array().unwrap();
        let logged = fs::read_to_string(golden(&format!("steps.{name}.jsonl"))).unwrap();
        let logged: Vec<Map<String, Value>> = logged
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(steps.len(), logged.len());
        for (step_idx, (step, logged)) in steps.iter().zip(&logged).enumerate() {
            for (key, value) in logged {
                let (got, wanted) = (step[key].as_f64().unwrap(), value.as_f64().unwrap());
                // Log-probabilities are sums over up to 48 tokens.
                let close = (got - wanted).abs() <= 1e-4 + 1e-5 * wanted.abs();
                assert!(close, "{name}, step {step_idx}, {key}: {got}, not {wanted}");
            }
        }
        let lines = fs::read_to_string(output.join("steps.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 6);
        assert!(!output.join("training/checkpoint").exists());
        assert!(got["speed"]["pairs_per_second"].as_f64().unwrap() > 0.0);

        // A second run finds everything done, and the adapter changes what the model says.
        let again = json_of(&arguments);
        assert_eq!(again["steps"], got["steps"]);
        let logprobs = |adapter: &Path| {
            json_of(&[
                "logprobs",
                "--model",
                "tests/golden/dpo-run",
                "--adapter",
                path(adapter),
                "--prompt",
                "the keeper",
                "--response",
                "mends nets",
                "--format",
                "json",
            ])
        };
        assert_ne!(logprobs(&output)["sum"], logprobs(&init)["sum"]);
    }
}

#[test]
fn factors_in_bfloat16_stay_so_while_they_are_trained_and_go_about_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let (init, pairs) = (golden("init"), golden("pairs.jsonl"));
    let run = |dtype: &str| {
        let output = folder.path().join(dtype);
        let mut arguments = dpo("sigmoid", path(&output), path(&init), path(&pairs));
        arguments.extend(["--lora-dtype", dtype]);
        let steps = json_of(&arguments)["steps"].as_array().unwrap().clone();
        let losses = steps.iter().map(|step| step["loss"].as_f64().unwrap());
        let bytes = fs::read(output.join("adapter_model.safetensors")).unwrap();
        let adapter = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let is_bfloat16 = adapter.tensors().iter().all(|(_, factor)| {
            let floats = factor.data().as_chunks::<4>().0;
            floats.iter().all(|float| float[..2] == [0, 0])
        });
        (losses.collect::<Vec<f64>>(), is_bfloat16)
    };
    let (full, is_bfloat16) = run("float32");
    assert!(!is_bfloat16);
    let (half, is_bfloat16) = run("bfloat16");
    assert!(is_bfloat16, "every factor has the precision of bfloat16");
    for (half, full) in half.iter().zip(&full) {
        assert!((half - full).abs() < 0.05, "{half} {full}");
    }
}

#[test]
fn dpo_refuses_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("adapter");
    let (init, pairs) = (golden("init"), golden("pairs.jsonl"));
    json_of(&dpo("sigmoid", path(&output), path(&init), path(&pairs)));
    let before = fs::read(output.join("adapter_model.safetensors")).unwrap();

    let no_reply = folder.path().join("long.jsonl");
    let long = json!({"prompt": "the ".repeat(60), "chosen": "net", "rejected": "map"});
    fs::write(&no_reply, format!("{long}\n")).unwrap();
    let torn = folder.path().join("torn.jsonl");
    fs::write(&torn, "{\"prompt\": \"a\", \"chosen\": \"b\"}\n").unwrap();
    for (arguments, code, part) in [
        (
            dpo("sigmoid", "unused", path(&init), path(&no_reply)),
            1,
            "no pair whose prompt is shorter than 48 tokens",
        ),
        (
            dpo("sigmoid", "unused", path(&init), path(&torn)),
            1,
            "line 1: missing field `rejected`",
        ),
        (
            [
                &dpo("sigmoid", "unused", path(&init), path(&pairs))[..5],
                &["--output", "unused", "--pairs", path(&pairs)],
                &["--lora-targets", "q_proj,w_proj"],
            ]
            .concat(),
            2,
            "no projection w_proj",
        ),
    ] {
        let refused = run(&arguments);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(code), "{told}");
        assert!(told.contains(part), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert_eq!(
        fs::read(output.join("adapter_model.safetensors")).unwrap(),
        before
    );
    assert!(
        !Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("unused")
            .exists()
    );
}

#[test]
fn dpo_with_other_settings_is_trained_again_and_removes_nothing_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("adapter");
    let (init, pairs) = (golden("init"), golden("pairs.jsonl"));
    for (name, text) in [("training/notes.txt", "mine"), ("steps.jsonl", "mine\n")] {
        fs::create_dir_all(output.join("training")).unwrap();
        fs::write(output.join(name), text).unwrap();
    }
    let train = |loss: &str, more: &[&str]| {
        let mut arguments = dpo(loss, path(&output), path(&init), path(&pairs));
        arguments.extend(more);
        let done = run(&arguments);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{told}");
        let again = told.lines().filter(|line| line.ends_with(" again"));
        (
            again.map(str::to_string).collect::<Vec<_>>(),
            fs::read(output.join("adapter_model.safetensors")).unwrap(),
        )
    };
    let (told, sigmoid) = train("sigmoid", &["--force"]);
    assert!(told.is_empty(), "{told:?}");
    for kept in ["training.edited-1/notes.txt", "steps.edited-1.jsonl"] {
        assert!(output.join(kept).is_file(), "{kept}");
    }
    let (told, ipo) = train("ipo", &[]);
    assert_eq!(told, ["dpo_loss_type sigmoid → ipo: dpo again"]);
    assert!(sigmoid != ipo);
    fs::write(output.join("dpo.json"), "{\"comp").unwrap();
    let (told, again) = train("sigmoid", &[]);
    assert_eq!(told, ["record of dpo damaged: dpo again"]);
    assert!(again == sigmoid);
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_named_and_made_again_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("adapter");
    let (init, pairs) = (golden("init"), golden("pairs.jsonl"));
    let arguments = dpo("sigmoid", path(&output), path(&init), path(&pairs));
    json_of(&arguments);
    // As a run leaves it that is stopped in its second epoch.
    let record = output.join("dpo.json");
    let begun = fs::read_to_string(&record).unwrap();
    let begun = begun.replace("\"complete\": true", "\"complete\": false");
    fs::write(&record, begun).unwrap();
    let checkpoint = output.join("training/checkpoint");
    fs::create_dir(&checkpoint).unwrap();
    for name in ["model-1.bpk", "optim-1.bpk", "scheduler-1.bpk"] {
        fs::write(checkpoint.join(name), "cut").unwrap();
    }
    let refused = run(&arguments);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("training/checkpoint: the checkpoint of epoch 1"),
        "{told}"
    );
    assert!(
        told.contains("--force") && !told.contains("panicked"),
        "{told}"
    );
    json_of(&[&arguments[..], &["--force"]].concat());
    assert!(!output.join("training.edited-1").exists());
}

#[test]
fn generate_goes_on_from_a_prompt_the_same_way_each_time_and_no_shorter_than_asked() {
    let generate = |more: &[&str]| {
        let mut arguments = vec!["generate", "--model", "tests/golden/dpo-run"];
        arguments.extend(["--prompt", "the keeper of a", "--format", "json"]);
        arguments.extend(["--max-new-tokens", "20"]);
        arguments.extend(more);
        json_of(&arguments)
    };
    let greedy = generate(&["--min-new-tokens", "20"]);
    assert_eq!(greedy["ids"].as_array().unwrap().len(), 20);
    assert_eq!(greedy["ids"], generate(&["--min-new-tokens", "20"])["ids"]);
    let drawn = |seed| generate(&["--temperature", "1", "--seed", seed])["ids"].clone();
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    let refused = run(&[
        "generate",
        "--model",
        "tests/golden/dpo-run",
        "--prompt",
        "the",
        "--max-new-tokens",
        "64",
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("the model takes 64 in all"), "{told}");
}

#[test]
fn classify_keeps_the_order_of_the_texts_whatever_the_batches() {
    let folder = tempfile::tempdir().unwrap();
    let texts = folder.path().join("texts.jsonl");
    let lines: String = (1..40)
        .map(|n| {
            let text = format!(
                "Statement: Mira {} plays. Question: Why?",
                "really ".repeat(n * 7 % 31)
            );
            format!("{}\n", json!({"text": text}))
        })
        .collect();
    fs::write(&texts, lines).unwrap();
    let classify = |batch_tokens| {
        let mut arguments = vec!["classify", "--model", "models/tiny/nli", "--format", "json"];
        arguments.extend(["--texts", path(&texts), "--batch-tokens", batch_tokens]);
        let told = json_of(&arguments);
        assert_eq!(told["labels"].as_array().unwrap().len(), 3);
        assert!(told["speed"]["texts_per_second"].as_f64().unwrap() > 0.0);
        serde_json::from_value::<Vec<[f64; 3]>>(told["probabilities"].clone()).unwrap()
    };
    let (apart, together) = (classify("1"), classify("4096"));
    assert_eq!(apart.len(), 39);
    for (apart, together) in apart.iter().zip(&together) {
        assert!((apart.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        for (apart, together) in apart.iter().zip(together) {
            assert!((apart - together).abs() < 1e-5, "{apart} {together}");
        }
    }
    assert_ne!(apart[0], apart[1]);
}

#[test]
fn classify_takes_a_judge_in_four_bits() {
    let folder = tempfile::tempdir().unwrap();
    let texts = folder.path().join("texts.jsonl");
    let text = "Statement: Mira plays the cello. Question: What do you play? Reply: The cello.";
    fs::write(&texts, format!("{}\n", json!({"text": text}))).unwrap();
    let classify = |quantization| {
        let mut arguments = vec!["classify", "--model", "models/tiny/nli", "--format", "json"];
        arguments.extend(["--texts", path(&texts), "--quantization", quantization]);
        let probabilities = json_of(&arguments)["probabilities"].clone();
        serde_json::from_value::<Vec<[f64; 3]>>(probabilities).unwrap()[0]
    };
    let (dense, nf4) = (classify("none"), classify("nf4"));
    assert_ne!(dense, nf4);
    for (dense, nf4) in dense.iter().zip(nf4) {
        assert!((dense - nf4).abs() < 0.3, "{dense} {nf4}");
    }
}

#[test]
fn finetune_keeps_the_best_epoch_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    // Which class a text has is told by its last word.
    let lines: String = (0..60)
        .map(|n| {
            let (label, word) = [(0, "rain"), (1, "cello"), (2, "harbour")][n % 3];
            let text = format!("Statement: Mira has {n} {word}. Question: What? Reply: {word}.");
            format!("{}\n", json!({"text": text, "label": label}))
        })
        .collect();
    fs::write(&data, lines).unwrap();
    let arguments = |output: &Path, epochs: &str| -> Vec<String> {
        let mut arguments = vec!["finetune", "--model", "models/tiny/nli", "--epochs", epochs];
        arguments.extend(["--data", path(&data), "--output", path(output)]);
        arguments.extend(["--learning-rate", "3e-3", "--format", "json", "--dropout"]);
        arguments.into_iter().map(str::to_string).collect()
    };
    let finetune = |output: &Path, epochs: &str, more: &[&str]| {
        let arguments = arguments(output, epochs);
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.extend(more);
        let output = run(&arguments);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(),
        )
    };
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let (code, told, trained) = finetune(&whole, "3", &[]);
    assert_eq!(code, Some(0), "{told}");
    let accuracies: Vec<f64> = serde_json::from_value(trained["accuracies"].clone()).unwrap();
    let losses: Vec<f64> = serde_json::from_value(trained["losses"].clone()).unwrap();
    assert_eq!(
        (accuracies.len(), losses.len()),
        (3, 3 * 6),
        "48 texts, 8 a step"
    );
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[12..]) < mean(&losses[..6]), "{losses:?}");
    let best = accuracies.iter().copied().fold(0.0, f64::max);
    let best_epoch = trained["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(
        accuracies.iter().position(|&a| a == best),
        Some(best_epoch - 1)
    );

    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    let mut cut = Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(arguments(&parts, "3"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(cut.stderr.take().unwrap()).lines();
    let mut told = told.map(|line| line.unwrap());
    assert!(told.any(|line| line.contains("epoch 1 of 3, held out")));
    cut.kill().unwrap();
    cut.wait().unwrap();
    let (code, told, resumed) = finetune(&parts, "3", &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(resumed["accuracies"], trained["accuracies"]);
    assert_eq!(resumed["losses"], trained["losses"]);
    assert_eq!(weights(&parts), weights(&whole));

    let (code, told, again) = finetune(&whole, "3", &[]);
    assert!(
        code == Some(0) && told.contains("nothing was done"),
        "{told}"
    );
    assert_eq!(again["losses"], trained["losses"]);
    // Another epoch is another classifier, and what is damaged is made again.
    let (code, told, longer) = finetune(&whole, "4", &[]);
    let again = told.contains("epochs 3 → 4: finetune again");
    assert!(code == Some(0) && again, "{told}");
    let losses: Vec<f64> = serde_json::from_value(longer["losses"].clone()).unwrap();
    assert_eq!(losses.len(), 4 * 6);
    let made = weights(&parts);
    fs::write(parts.join("model.safetensors"), &made[..made.len() / 2]).unwrap();
    let (code, told, _) = finetune(&parts, "3", &[]);
    assert!(
        code == Some(0) && told.contains("model.safetensors damaged: finetune again"),
        "{told}"
    );
    assert!(weights(&parts) == made);
    assert!(parts.join("model.edited-1.safetensors").is_file());
    let (code, told, _) = finetune(&folder.path().join("none"), "3", &["--held-out", "0.999"]);
    assert!(
        code == Some(2) && told.contains("none is left to train on"),
        "{told}"
    );
    let (code, told, _) = finetune(&whole, "3", &["--held-out", "1"]);
    assert!(
        code == Some(2) && told.contains("--held-out is 1"),
        "{told}"
    );
}

#[test]
fn finetune_drops_values_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    let line = json!({"text": "Statement: Mira sings. Question: What? Reply: I sing.", "label": 2});
    fs::write(&data, format!("{line}\n").repeat(16)).unwrap();
    let losses = |name: &str, more: &[&str]| {
        let output = folder.path().join(name);
        let mut arguments = vec!["finetune", "--model", "models/tiny/nli", "--epochs", "1"];
        arguments.extend(["--data", path(&data), "--output", path(&output)]);
        arguments.extend(["--held-out", "0", "--format", "json"]);
        arguments.extend(more);
        json_of(&arguments)["losses"].clone()
    };
    let whole = losses("whole", &[]);
    let dropped = losses("dropped", &["--dropout"]);
    assert_ne!(whole[0], dropped[0]);
    assert_ne!(dropped, losses("other", &["--dropout", "--seed", "7"]));
    assert_eq!(dropped, losses("again", &["--dropout"]));
}

#[test]
fn a_classifier_with_spm_model_alone_is_fine_tuned_to_one_with_tokenizer_json() {
    let folder = tempfile::tempdir().unwrap();
    let [base, data, output] = ["base", "data.jsonl", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&base).unwrap();
    for from in [
        "models/tiny/nli/config.json",
        "models/tiny/nli/model.safetensors",
        "tests/golden/spm/spm.model",
    ] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        fs::copy(&from, base.join(from.file_name().unwrap())).unwrap();
    }
    let strange = "the \u{1f9ff} of a \u{10a0}"; // characters that no vocabulary here has
    let line = json!({"text": strange, "label": 1});
    fs::write(&data, format!("{line}\n").repeat(4)).unwrap();
    let mut arguments = vec!["finetune", "--model", path(&base), "--epochs", "1"];
    arguments.extend(["--data", path(&data), "--output", path(&output)]);
    arguments.extend(["--byte-fallback", "--held-out", "0", "--format", "json"]);
    json_of(&arguments);

    // What becomes of those characters goes along with the tokenizer.
    fs::copy(
        output.join("model.safetensors"),
        base.join("model.safetensors"),
    )
    .unwrap();
    let classify = |model: &Path, more: &[&str]| {
        let arguments = ["classify", "--model", path(model), "--texts", path(&data)];
        let arguments = [&arguments[..], &["--format", "json"], more].concat();
        json_of(&arguments)["probabilities"][0].clone()
    };
    let bytes = classify(&base, &["--byte-fallback"]);
    assert_eq!(bytes, classify(&output, &[]));
    assert_ne!(bytes, classify(&base, &[]));
    let arguments = ["classify", "--model", path(&output), "--texts", path(&data)];
    let refused = run(&[&arguments[..], &["--byte-fallback"]].concat());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && told.contains("tokenizer.json says itself"),
        "{told}"
    );
}

#[test]
fn finetune_refuses_a_text_that_is_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    let long = json!({"text": "rain and ".repeat(3000), "label": 0});
    fs::write(&data, format!("{long}\n")).unwrap();
    let output = folder.path().join("out");
    let mut arguments = vec!["finetune", "--model", "models/tiny/nli", "--epochs", "1"];
    arguments.extend(["--data", path(&data), "--output", path(&output)]);
    let refused = run(&arguments);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("text 1 has") && told.contains("at most 4096"),
        "{told}"
    );
}

#[test]
fn merge_and_quantize_write_models_that_the_other_commands_take() {
    let there = tempfile::tempdir().unwrap();
    let (model, adapter) = ("tests/golden/dpo-run", "tests/golden/dpo-run/init");
    let [merged, quantized] = ["merged", "quantized"].map(|name| there.path().join(name));
    let sum = |more: &[&str]| {
        let texts = ["--prompt", "the keeper", "--response", " mends nets"];
        let arguments = [&["logprobs", "--format", "json"], &texts[..], more].concat();
        json_of(&arguments)["sum"].as_f64().unwrap()
    };
    let merge = ["merge", "--model", model, "--adapter", adapter, "--output"];
    let told = json_of(&[&merge, &[path(&merged), "--format", "json"][..]].concat());
    assert!(told["changed"].as_u64().unwrap() > 0, "{told}");
    let adapted = sum(&["--model", model, "--adapter", adapter]);
    assert!((sum(&["--model", path(&merged)]) - adapted).abs() < 1e-4);
    assert!((sum(&["--model", model]) - adapted).abs() > 1e-3);

    let quantize = ["quantize", "--model", model, "--output", path(&quantized)];
    let told = run(&quantize);
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(
        told.status.success() && text.contains("weights in NF4"),
        "{text}"
    );
    let from_file = sum(&["--model", path(&quantized)]);
    let while_loading = sum(&["--model", model, "--quantization", "nf4"]);
    assert!((from_file - while_loading).abs() < 1e-5);

    let again = run(&quantize);
    let told = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1));
    assert!(told.contains("holds a model already"), "{told}");
}
