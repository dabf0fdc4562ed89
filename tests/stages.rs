//! The stage commands on checkpoints from any folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};

pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("APC_DEVICE")
        .output()
        .unwrap()
}

/// The one line of JSON that a successful run prints.
pub(crate) fn json_of(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/dpo-run")
        .join(name)
}

pub(crate) fn path(path: &Path) -> &str {
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
