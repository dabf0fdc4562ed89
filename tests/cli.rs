//! The programs as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A page that is quickly worked through.
pub(crate) const PAGE: &str = "Mira is a carpenter from Riga. She plays the cello on Sundays. She has two brothers. \
Her mother is a nurse.\n\nMira is afraid of heights. She was born in 1990.\n";

/// A reply of Alice's to be scored.
pub(crate) const SCORE: [&str; 7] = [
    "score",
    "--character",
    "Alice",
    "--query",
    "Hi?",
    "--response",
    "Hi.",
];

/// One message to Alice.
pub(crate) const CHAT: [&str; 5] = ["chat", "--character", "Alice", "--message", "Hi"];

/// Settings under which a pretraining takes seconds.
pub(crate) const SMALL_PRETRAINING: [&str; 4] =
    ["--base", "tests/golden/bert", "--language-examples", "8"];

/// Settings under which the main job takes seconds.
pub(crate) const SHORT: [&str; 16] = [
    "--max-dpo-data",
    "64",
    "--prp-dpo-epoch",
    "3",
    "--lora-rank",
    "2",
    "--max-eval-queries",
    "2",
    "--eval-replies",
    "2",
    "--max-new-tokens",
    "12",
    "--learning-rate",
    "1e-3",
    "--character",
    "Mira",
];

pub(crate) fn apc(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("APC_DEVICE");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    apc(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a page, and the arguments of a short run in it.
pub(crate) fn short_run(folder: &Path) -> Vec<String> {
    let page = folder.join("page.txt");
    fs::write(&page, PAGE).unwrap();
    let mut arguments = vec!["train".to_string()];
    arguments.extend(SHORT.map(str::to_string));
    arguments.extend(["--wiki".into(), page.display().to_string()]);
    arguments.extend(["--output".into(), folder.display().to_string()]);
    arguments
}

pub(crate) fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

pub(crate) fn adapter_of(folder: &Path) -> PathBuf {
    folder.join("models/Mira/adapter")
}

#[test]
fn train_makes_an_adapter_and_a_second_run_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = short_run(folder.path());
    let first = run(&strs(&arguments));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let summary = text(&first.stdout);
    for part in [
        "statements",
        "pairs kept",
        "rewards/accuracies",
        "mean ΔAPC",
        "95 % interval",
        "next: ",
        " chat --character Mira",
    ] {
        assert!(summary.contains(part), "{part} is not in {summary}");
    }
    for name in [
        "statements",
        "queries",
        "relevance-table",
        "replies",
        "pairs",
        "evaluation-before",
        "evaluation-after",
    ] {
        assert!(
            folder
                .path()
                .join(format!("data/Mira/{name}.jsonl"))
                .is_file(),
            "{name}"
        );
    }
    assert!(
        adapter_of(folder.path())
            .join("adapter_config.json")
            .is_file()
    );

    let second = run(&strs(&arguments));
    assert!(second.status.success());
    assert!(
        text(&second.stdout).contains("nothing was done"),
        "{}",
        text(&second.stdout)
    );
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_adapter() {
    let kills: u64 = std::env::var("APC_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(6);
    let calm = tempfile::tempdir().unwrap();
    let started = Instant::now();
    assert!(run(&strs(&short_run(calm.path()))).status.success());
    let whole = started.elapsed();

    let killed = tempfile::tempdir().unwrap();
    let arguments = short_run(killed.path());
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..kills {
        let mut child = apc(&strs(&arguments))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Marsaglia's xorshift: some moment within the first half of an undisturbed run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(whole.mul_f64(0.5 * (random % 1000) as f64 / 1000.0));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    let last = run(&strs(&arguments));
    assert!(last.status.success(), "{}", text(&last.stderr));
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
        let read = |folder: &Path| fs::read(adapter_of(folder).join(name)).unwrap();
        assert!(read(calm.path()) == read(killed.path()), "{name} differs");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_run_and_says_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = short_run(folder.path());
    let epochs = arguments
        .iter()
        .position(|argument| argument == "--prp-dpo-epoch")
        .unwrap()
        + 1;
    arguments[epochs] = "100000".to_string();
    let child = apc(&strs(&arguments))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = folder.path().join("data/Mira/queries.jsonl");
    while !begun.is_file() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("run the same command again"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn score_as_json_has_every_statement_and_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("statements.txt");
    fs::write(
        &statements,
        "Mira plays the cello.\nMira has two brothers.\n",
    )
    .unwrap();
    let output = run(&[
        "score",
        "--character",
        "Mira",
        "--statements",
        statements.to_str().unwrap(),
        "--query",
        "What do you play?",
        "--response",
        "I play the cello.",
        "--response",
        "I play the drums.",
        "--format",
        "json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["query"], "What do you play?");
    let replies = json["responses"].as_array().unwrap();
    assert_eq!(replies.len(), 2);
    let faithful = [&replies[0], &replies[1]].map(|reply| reply["apc"].as_f64().unwrap());
    assert!(faithful[0] > faithful[1], "{faithful:?}");
    for reply in replies {
        let parts = reply["statements"].as_array().unwrap();
        assert_eq!(parts.len(), 2);
        let number = |value: &Value| value.as_f64().unwrap();
        let mut apc = 0.0;
        for part in parts {
            let [relevance, contradicted, neutral, entailed] =
                ["relevance", "contradicted", "neutral", "entailed"]
                    .map(|name| number(&part[name]));
            assert!((contradicted + neutral + entailed - 1.0).abs() < 1e-5);
            apc += (1.0 - relevance) * (1.0 - contradicted) + relevance * entailed;
        }
        assert!((number(&reply["apc"]) - apc).abs() < 1e-9);
        let delta = number(&reply["active_reward"]) - number(&reply["passive_penalty"]);
        assert!((number(&reply["delta_apc"]) - delta).abs() < 1e-9);
    }
}

/// What Alice replies without an adapter, from how many statements.
fn ask_alice(message: &str, more: &[&str]) -> (String, usize) {
    let chat = ["chat", "--character", "Alice", "--format", "json"];
    let asked = ["--adapter", "none", "--message", message];
    let output = run(&[&chat[..], &asked, more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let response = json["response"].as_str().unwrap().to_string();
    (response, json["retrieved"].as_array().unwrap().len())
}

#[test]
fn chat_answers_a_message_the_same_way_for_the_same_seed() {
    let first = ask_alice("How old are you?", &[]);
    assert!(!first.0.is_empty());
    assert_eq!(first, ask_alice("How old are you?", &[]));
}

#[test]
fn the_embedded_gemma_gets_one_statement_and_none_that_does_not_matter() {
    let n_retrieved = |message: &str, more: &[&str]| ask_alice(message, more).1;
    let age = "How old are you?";
    assert_eq!(n_retrieved(age, &[]), 1);
    assert_eq!(
        n_retrieved(age, &["--rag-top-k", "3", "--min-relevance", "0"]),
        3
    );
    // Another gets five, whatever they matter.
    assert_eq!(n_retrieved(age, &["--model", "models/tiny/gemma"]), 5);
    let shoes = "What size shoes do you take?";
    let (declined, n_told) = ask_alice(shoes, &[]);
    assert_eq!(n_told, 0);
    assert!(
        declined.contains("n't") || declined.contains("no idea"),
        "who is told nothing knows nothing: {declined}"
    );
    // What another judge's probabilities mean is not known.
    let judge = ["--relevance", "models/tiny/relevance"];
    assert_eq!(n_retrieved(shoes, &judge), 1);
}

#[test]
fn logprobs_of_a_response_are_one_for_each_of_its_tokens_and_add_up() {
    let output = run(&[
        "logprobs",
        "--model",
        "models/tiny/gemma",
        "--prompt",
        "Mira plays the cello.",
        "--response",
        " I play the cello.",
        "--format",
        "json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        let values = value[name].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let (ids, logprobs) = (numbers("response_ids"), numbers("logprobs"));
    assert_eq!(ids.len(), logprobs.len());
    assert!(logprobs.iter().all(|logprob| *logprob < 0.0));
    let sum: f64 = logprobs.iter().sum();
    assert!((sum - value["sum"].as_f64().unwrap()).abs() < 1e-5);
    assert_eq!(numbers("prompt_ids")[0], 2.0, "<bos> comes first");
}

#[test]
fn a_file_of_replies_is_scored_line_by_line_and_goes_on_where_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["replies.jsonl", "scores.jsonl"].map(|name| folder.path().join(name));
    let lines = [
        r#"{"id": 7, "query": "What do you play?", "response": "I play the cello.", "statements": ["Mira plays the cello."]}"#,
        r#"{"query": "Where do you live?", "response": "In Wonderland.", "character": "Alice"}"#,
        r#"{"query": "What do you play?", "response": "Nothing.", "statements": ["Mira plays the cello."]}"#,
    ];
    fs::write(&input, lines.join("\n")).unwrap();
    let [input, output_text] = [&input, &output].map(|path| path.display().to_string());
    let score = || {
        let arguments = [
            "score",
            "--character",
            "Mira",
            "--input",
            &input,
            "--output",
            &output_text,
            "--format",
            "json",
        ];
        let done = run(&arguments);
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let first = score();
    assert_eq!(first["replies"], 3);
    let whole = fs::read_to_string(&output).unwrap();
    let scored: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(scored.len(), 3);
    assert_eq!(scored[0]["id"], 7, "what else a line has comes back");
    assert_eq!(scored[0]["apc"]["statements"].as_array().unwrap().len(), 1);
    assert!(
        scored[1]["apc"]["statements"].as_array().unwrap().len() > 10,
        "Alice's own"
    );
    let apc = |place: usize| scored[place]["apc"]["apc"].as_f64().unwrap();
    assert!(apc(0) > apc(2), "{whole}");

    let cut: String = whole.split_inclusive('\n').take(1).collect();
    fs::write(&output, cut).unwrap();
    let again = score();
    assert_eq!(again["scored_before"], 1);
    assert_eq!(again["mean_apc"], first["mean_apc"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), whole);

    fs::write(folder.path().join("replies.jsonl"), lines[1]).unwrap();
    let refused = run(&["score", "--input", &input, "--output", &output_text]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("other replies"));
}

/// A Gemma of the shape of 2b, whose weights are a file with holes that takes no room; its last norm is missing.
#[cfg(unix)]
fn large_model(folder: &Path) {
    const HIDDEN: u64 = 2048;
    const INNER: u64 = 16_384;
    const HEADS: u64 = 8 * 256;
    let config = serde_json::json!({
        "model_type": "gemma", "vocab_size": 256_000, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma/tokenizer.json");
    fs::copy(tiny, folder.join("tokenizer.json")).unwrap();
    let mut weights = vec![("model.embed_tokens".to_string(), vec![256_000, HIDDEN])];
    for layer in 0..18 {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INNER]),
            ("mlp.gate_proj", vec![INNER, HIDDEN]),
            ("mlp.up_proj", vec![INNER, HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.k_proj", vec![256, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HEADS]),
            ("self_attn.q_proj", vec![HEADS, HIDDEN]),
            ("self_attn.v_proj", vec![256, HIDDEN]),
        ] {
            weights.push((format!("model.layers.{layer}.{name}"), shape));
        }
    }
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in weights {
        let start = end;
        end += 2 * shape.iter().product::<u64>();
        let info =
            serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]});
        header.insert(format!("{name}.weight"), info);
    }
    let header = Value::Object(header).to_string();
    let path = folder.join("model.safetensors");
    let mut content = (header.len() as u64).to_le_bytes().to_vec();
    content.extend(header.as_bytes());
    fs::write(&path, &content).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(content.len() as u64 + end).unwrap();
}

#[cfg(unix)]
#[test]
fn a_model_that_the_memory_has_no_room_for_is_told_of_before_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    large_model(folder.path());
    let apc = assert_cmd::cargo::cargo_bin!("apc").display().to_string();
    let under = |gib: u64, flags: &str| {
        let limit = gib << 20;
        let model = folder.path().display();
        let script = format!(
            "ulimit -v {limit}; exec {apc} generate --model {model} --prompt Hello {flags}"
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    // In f32 it takes 10 GiB, in four bits 4.
    let (code, told) = under(8, "");
    assert_eq!(code, Some(1), "{told}");
    for part in [
        "needs about",
        "weights",
        "are free",
        "--quantization nf4",
        "--dtype bfloat16",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // There is room in four bits, so what comes next is told.
    let (code, told) = under(8, "--quantization nf4");
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("is missing") && !told.contains("--dtype"),
        "{told}"
    );
}
