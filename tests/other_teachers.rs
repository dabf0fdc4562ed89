//! Teachers besides a chat server of the page's language: judges by token probabilities, other languages, imported data, the Gemma itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use apc::files;
use apc::nn::{RobertaConfig, SequenceClassifierConfig, WeightMut, Weights};
use apc::persona::{Nli, Relevance};
use burn::tensor::{DType, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer};
use super::teacher::{PAGE, QUICK, json_of};

#[test]
fn a_chat_model_scores_with_the_probabilities_of_its_tokens_and_is_asked_once() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("statements.txt");
    fs::write(&statements, "Mira sings.\nMira has two brothers.\n").unwrap();
    let score = || {
        Command::new(assert_cmd::cargo::cargo_bin!("apc"))
            .args(["score", "--character", "Mira", "--query", "Do you sing?"])
            .args(["--response", "I sing.", "--response", "I do not sing."])
            .args(["--relevance", "openai:tester-1", "--nli", "openai:tester-1"])
            .args([
                "--format",
                "json",
                "--api-base",
                &server.base(),
                "--statements",
            ])
            .arg(&statements)
            .arg("--output")
            .arg(folder.path())
            .env_remove("OPENAI_API_KEY")
            .output()
            .unwrap()
    };
    let scores = json_of(&score());
    let of = |response: usize, statement: usize| {
        scores["responses"][response]["statements"][statement].clone()
    };
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 1e-6;
    assert!(near(&of(0, 0)["relevance"], 0.9), "{}", of(0, 0));
    assert!(near(&of(0, 1)["relevance"], 0.1), "{}", of(0, 1));
    assert!(near(&of(0, 0)["entailed"], 0.9), "{}", of(0, 0));
    assert!(near(&of(1, 0)["contradicted"], 0.9), "{}", of(1, 0));
    let log = server.log();
    assert_eq!(log.len(), 2 + 4, "relevance once for both replies");
    assert_eq!(log[0].request.authorization, None, "no key, no header");
    assert_eq!(json_of(&score()), scores);
    assert_eq!(server.log().len(), log.len());
}

#[test]
fn a_chat_model_is_measured_by_a_benchmark_whose_folder_stays_as_it_is() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let persona = json!({
        "name": "Mira", "style": "prose", "statements": ["Mira sings.", "Mira has two brothers."],
        "pairs": [{"query": "Do you sing?", "right": "I sing.", "wrong": "I do not sing.", "kind": "contradiction",
            "statements": [0]}],
        "questions": [],
    });
    files::write_json(&folder.path().join("Mira.json"), &persona).unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(["benchmark", "--relevance", "openai:tester-1", "--nli"])
        .args(["openai:tester-1", "--format", "json", "--api-base"])
        .args([&server.base(), "--data"])
        .arg(folder.path())
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    assert_eq!(json_of(&output)["pairs"], json!({"right": 1, "of": 1}));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A random XLM-RoBERTa that reads what the embedded judges' tokenizer tells.
fn xlm_roberta(folder: &Path, labels: &[&str]) {
    let device = burn::tensor::Device::default();
    let model = SequenceClassifierConfig::Roberta(
        RobertaConfig::xlm_roberta_base()
            .with_vocab_size(2048)
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_labels(labels.len())
            .with_pad_token_id(0),
    );
    fs::create_dir_all(folder).unwrap();
    // From numbers of its own: those of the device are shared with other tests.
    let mut rng = ChaCha8Rng::seed_from_u64(labels.len() as u64);
    let mut judge = model.init(&device);
    judge.weights("", &mut |_, mut weight| {
        if let WeightMut::Matrix(_) = &weight {
            let shape = weight.shape();
            let numbers = (0..shape.iter().product()).map(|_| rng.random_range(-0.9..0.9_f32));
            let data = TensorData::new(numbers.collect(), shape);
            weight.set_frozen(data, DType::F32, &device);
        }
    });
    files::save_weights(&mut judge, folder).unwrap();
    let config = files::ClassifierConfig {
        model,
        labels: labels.iter().map(ToString::to_string).collect(),
        pad_token_id: 0,
    };
    files::write_classifier_config(folder, &config).unwrap();
    let tokenizer =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/nli/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
}

#[test]
fn a_chinese_page_is_asked_about_in_chinese_and_runs_through_with_multilingual_judges() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let [relevance, nli] = ["relevance", "nli"].map(|name| folder.path().join(name));
    xlm_roberta(&relevance, &Relevance::NAMES);
    xlm_roberta(&nli, &Nli::NAMES);
    let page = folder.path().join("page.txt");
    fs::write(
        &page,
        "小雨是一名园丁。小雨住在苏州。\n\n小雨喜欢下雨天。小雨有两个弟弟。",
    )
    .unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(["train", "--character", "小雨", "--model-engine", "tester-1"])
        .args([
            "--use-pretrained-discriminator",
            "false",
            "--format",
            "json",
        ])
        .args([
            "--relevance-finetune-epoch",
            "1",
            "--nli-finetune-epoch",
            "1",
        ])
        .args([
            "--max-dpo-data",
            "96",
            "--prp-dpo-epoch",
            "1",
            "--lora-rank",
            "2",
        ])
        .args([
            "--max-eval-queries",
            "2",
            "--eval-replies",
            "2",
            "--max-new-tokens",
            "12",
        ])
        .args(["--api-base", &server.base()])
        .arg("--wiki")
        .arg(&page)
        .arg("--relevance")
        .arg(&relevance)
        .arg("--nli")
        .arg(&nli)
        .arg("--output")
        .arg(folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    let summary = json_of(&output);
    assert_eq!(summary["statements"], 4);
    let queries = fs::read_to_string(folder.path().join("data/小雨/queries.jsonl")).unwrap();
    assert!(queries.contains("你是一名园丁"), "{queries}");
    let judge = folder.path().join("models/小雨/nli");
    let config = fs::read_to_string(judge.join("config.json")).unwrap();
    assert!(config.contains("xlm-roberta"));
    assert!(
        judge.join("judge.json").is_file(),
        "a judge says how it is asked"
    );
}

#[test]
fn what_the_original_made_is_imported_and_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("statement");
    fs::create_dir(&old).unwrap();
    let write = |ending: &str, value: Value| {
        fs::write(old.join(format!("Mira{ending}")), value.to_string()).unwrap();
    };
    let statements = ["Mira sings.", "Mira has two brothers."];
    let of = |statement: &str| json!({"character": "Mira", "passage": "", "statement": statement});
    write(".json", json!(statements.map(of)));
    let asked = |statement: &str| {
        let queries = ["Who?", "What?", "Why?"].map(|word| format!("{word} {statement}"));
        json!({"statement": statement, "queries": queries})
    };
    write(
        ".query_relevant_to_statement.json",
        json!(statements.map(asked)),
    );
    let example = json!({"character": "Mira", "statement": statements[0], "query": "Who?", "relevant": "yes"});
    write(".relevance.json", json!([example]));
    let example = json!({"character": "Mira", "statement": statements[0], "query": "Who?", "response": "I.", "label": "entailed"});
    write(".nli.v2.json", json!([example]));

    let apc = |arguments: &[&str]| {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("apc"))
            .args(arguments)
            .args(["--character", "Mira", "--format", "json", "--output"])
            .arg(folder.path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        json_of(&output)
    };
    let imported = apc(&["import", old.to_str().unwrap()]);
    assert_eq!(
        (&imported["queries"], &imported["nli"]),
        (&json!(6), &json!(1))
    );
    let made = apc(&[
        "train",
        "--model-engine",
        "imported",
        "--use-pretrained-discriminator",
        "false",
        "--data-only",
    ]);
    assert_eq!(made["statements"], 2);
    assert_eq!(
        made["queries"].as_u64().unwrap() + made["held_out"].as_u64().unwrap(),
        6
    );
    let nli = fs::read_to_string(folder.path().join("data/Mira/nli.jsonl")).unwrap();
    assert_eq!(nli.lines().count(), 1);
}

#[test]
fn the_gemma_itself_is_asked_once_and_what_it_cannot_do_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        // The embedded Gemma has learnt to answer as a character, not to write lists.
        let page = folder.path().join("page.txt");
        fs::write(&page, PAGE).unwrap();
        Command::new(assert_cmd::cargo::cargo_bin!("apc"))
            .args(["train", "--character", "Mira", "--model-engine", "local"])
            .args(["--data-only", "--wiki"])
            .arg(&page)
            .arg("--output")
            .arg(folder.path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap()
    };
    let answers = || fs::read_to_string(folder.path().join("data/Mira/answers.jsonl")).unwrap();
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let first = run();
    assert_eq!(first.status.code(), Some(1), "{}", told(&first));
    assert!(
        told(&first).contains("could not be used"),
        "{}",
        told(&first)
    );
    assert!(
        told(&first).contains("2 requests, 2 answered"),
        "{}",
        told(&first)
    );
    let known = answers();
    assert_eq!(known.lines().count(), 2);
    let again = run();
    assert!(!told(&again).contains("requests,"), "{}", told(&again));
    assert_eq!(answers(), known);
}
