//! The commands classify and finetune.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::stages::{json_of, path, run};

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
        let mut arguments = vec![
            "classify",
            "--model",
            "tests/data/judges/nli",
            "--format",
            "json",
        ];
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
        let mut arguments = vec![
            "classify",
            "--model",
            "tests/data/judges/nli",
            "--format",
            "json",
        ];
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
        let mut arguments = vec![
            "finetune",
            "--model",
            "tests/data/judges/nli",
            "--epochs",
            epochs,
        ];
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
        let mut arguments = vec![
            "finetune",
            "--model",
            "tests/data/judges/nli",
            "--epochs",
            "1",
        ];
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
        "tests/data/judges/nli/config.json",
        "tests/data/judges/nli/model.safetensors",
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
    let mut arguments = vec![
        "finetune",
        "--model",
        "tests/data/judges/nli",
        "--epochs",
        "1",
    ];
    arguments.extend(["--data", path(&data), "--output", path(&output)]);
    let refused = run(&arguments);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("text 1 has") && told.contains("at most 4096"),
        "{told}"
    );
}
