//! Damaged files, and outputs that cannot be written: what is wrong is told in one line that names the file.

use std::fs;
use std::process::Command;

use apc::nn::GemmaConfig;

use super::bad_input::{ROOT, copied, refused};
use super::cli::CHAT;

#[test]
fn a_label_that_is_no_class_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    for label in ["18446744073709551615", "1000000000000"] {
        let line = format!("{{\"text\": \"a\", \"label\": {label}}}\n");
        fs::write(&data, line).unwrap();
        let output = folder.path().join("out");
        let finetune = [
            "finetune",
            "--model",
            "tests/data/judges/nli",
            "--epochs",
            "1",
        ];
        let files = [
            "--data",
            data.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ];
        refused(&[&finetune[..], &files].concat(), 1, &["text 1", label]);
        assert!(!output.exists());
    }
}

#[test]
fn a_truncated_safetensors_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    let weights = model.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let named = ["--model", model.to_str().unwrap()];
    refused(&[&CHAT[..], &named].concat(), 1, &["model.safetensors"]);
    let output = folder.path().join("out");
    let train = [
        "train",
        "--character",
        "Alice",
        "--model",
        model.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    refused(&train, 1, &["model.safetensors"]);
    assert!(!output.exists(), "nothing is written for such a model");
}

#[test]
fn weights_of_another_shape_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    apc::files::write_gemma_config(
        &model,
        &GemmaConfig::gemma_2b()
            .with_vocab_size(1152)
            .with_hidden_size(192)
            .with_intermediate_size(512)
            .with_num_hidden_layers(3)
            .with_num_attention_heads(4)
            .with_num_key_value_heads(2)
            .with_head_dim(48),
    )
    .unwrap();
    let named = ["--model", model.to_str().unwrap()];
    refused(
        &[&CHAT[..], &named].concat(),
        1,
        &[
            "layers.0.self_attn.k_proj.weight has shape",
            "layers.2.self_attn.v_proj.weight has shape",
        ],
    );
}

#[test]
fn a_torn_line_in_a_data_file_is_named_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statements.jsonl");
    fs::write(
        &path,
        "{\"statement\": \"Mira sings.\"}\n{\"statem\n{\"statement\": \"Mira swims.\"}\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    let score = [
        "score",
        "--character",
        "Mira",
        "--statements",
        file,
        "--query",
        "Hi?",
        "--response",
        "Hi.",
    ];
    refused(&score, 1, &["statements.jsonl", "line 2"]);
    assert_eq!(
        fs::read_to_string(&path).unwrap().lines().count(),
        3,
        "the file stays as it was"
    );
}

#[cfg(unix)]
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = file.join("below");
    refused(
        &[
            "train",
            "--character",
            "Alice",
            "--output",
            output.to_str().unwrap(),
        ],
        1,
        &["file/below"],
    );
    // A folder without permission; for root, to whom everything is permitted, a file system that is read-only.
    refused(
        &["train", "--character", "Alice", "--output", "/proc/apc"],
        1,
        &["/proc/apc"],
    );
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_ends_the_run_with_one_line() {
    // A limit on the size of files, with its signal ignored, fails writes half-way as a full disk does.
    let folder = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin!("apc");
    let script = format!(
        "trap '' XFSZ; ulimit -f 4; exec '{}' train --character Alice --output '{}' --max-dpo-data 4",
        program.display(),
        folder.path().display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: cannot write") && !stderr.contains("panicked"),
        "{stderr}"
    );
    for entry in fs::read_dir(folder.path().join("data/Alice")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.is_dir() || fs::metadata(&path).unwrap().len() > 0,
            "{} is half-written",
            path.display()
        );
    }
}
