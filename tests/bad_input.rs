//! Input that cannot be used gets one clear line and the right exit code, and nothing is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cli::{SCORE, SMALL_PRETRAINING};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs `apc` and checks that it fails with one line on stderr that has all `parts`.
pub(crate) fn refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    command.args(arguments).current_dir(ROOT);
    command
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", "no/cache");
    command
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    let errors: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} is not in {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// `train` on a page in a folder of its own, which must stay without an adapter.
pub(crate) fn train_refused(page: &[u8], more: &[&str], code: i32, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.txt");
    fs::write(&path, page).unwrap();
    let mut arguments = vec![
        "train",
        "--character",
        "Mira",
        "--wiki",
        path.to_str().unwrap(),
    ];
    arguments.extend(["--output", folder.path().to_str().unwrap()]);
    arguments.extend(more);
    refused(&arguments, code, parts);
    assert!(!folder.path().join("models/Mira/adapter").exists());
    assert!(!folder.path().join("data/Mira/statements.jsonl").exists());
}

pub(crate) const PAGE: &[u8] = b"Mira is a carpenter. She plays the cello. She has two brothers.";

/// The folder of a small model: the embedded Gemma, or a classifier.
pub(crate) fn small(name: &str) -> PathBuf {
    let parent = match name {
        "gemma" => "models/tiny",
        _ => "tests/data/judges",
    };
    Path::new(ROOT).join(parent).join(name)
}

/// A copy of a small model.
pub(crate) fn copied(folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(small(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_page_that_is_missing_empty_or_not_utf8_is_named() {
    refused(
        &["train", "--character", "Nobody"],
        2,
        &["no page about Nobody", "--wiki PATH", "Alice"],
    );
    refused(
        &["train", "--character", "Mira", "--wiki", "no/such/page.txt"],
        1,
        &["no/such/page.txt"],
    );
    train_refused(b" \n", &[], 1, &["page.txt", "is empty"]);
    train_refused(b"Mira \xff", &[], 1, &["page.txt", "not UTF-8 at byte 5"]);
    train_refused(
        b"Nothing here.",
        &[],
        1,
        &["page.txt", "only one statement about Mira was found"],
    );
}

#[test]
fn an_index_that_names_files_outside_its_folder_is_refused() {
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("model");
    fs::create_dir(&folder).unwrap();
    let from = Path::new(ROOT).join("tests/data/judges/relevance");
    for name in ["config.json", "tokenizer.json", "judge.json"] {
        fs::copy(from.join(name), folder.join(name)).unwrap();
    }
    let outside = around.path().join("outside.safetensors");
    fs::copy(from.join("model.safetensors"), &outside).unwrap();
    let texts = around.path().join("texts.jsonl");
    fs::write(&texts, "{\"text\": \"Mira sings.\"}\n").unwrap();
    for shard in ["../outside.safetensors", outside.to_str().unwrap()] {
        let index = serde_json::json!({"weight_map": {"classifier.weight": shard}});
        fs::write(
            folder.join("model.safetensors.index.json"),
            index.to_string(),
        )
        .unwrap();
        let arguments = ["classify", "--model", folder.to_str().unwrap(), "--texts"];
        let arguments = [&arguments[..], &[texts.to_str().unwrap()]].concat();
        refused(
            &arguments,
            1,
            &["model.safetensors.index.json", "no file of its folder"],
        );
    }
}

#[test]
fn a_name_that_cannot_be_a_folder_is_refused() {
    refused(&["train", "--character", "../Alice"], 2, &["--character"]);
    refused(&["train", "--character", ""], 2, &["--character"]);
    for name in ["../Alice", "", "tiny"] {
        let from_page = ["train", "--wiki", "wiki/Alice.txt", "--character", name];
        refused(&from_page, 2, &["--character"]);
        refused(&["import", ".", "--character", name], 2, &["--character"]);
        let chat = ["chat", "--message", "Hi", "--character", name];
        refused(&chat, 2, &["--character", "which cannot be a folder name"]);
        let score = [
            "score",
            "--query",
            "a",
            "--response",
            "b",
            "--character",
            name,
        ];
        refused(&score, 2, &["--character", "which cannot be a folder name"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in.jsonl", "out.jsonl"].map(|name| folder.path().join(name));
    let line = "{\"query\": \"a\", \"response\": \"b\", \"statements\": [\"c\"], \"character\": \"../x\"}\n";
    fs::write(&input, line).unwrap();
    let [input, output] = [&input, &output].map(|path| path.to_str().unwrap());
    refused(
        &["score", "--input", input, "--output", output],
        1,
        &["line 1", "\"character\"", "../x"],
    );
}

#[test]
fn zeros_where_something_must_be_are_refused() {
    for flag in [
        "--rag-top-k",
        "--lora-rank",
        "--max-dpo-data",
        "--batch-size",
        "--accumulate",
        "--prp-dpo-epoch",
    ] {
        train_refused(PAGE, &[flag, "0"], 2, &[flag, "at least 1"]);
    }
    train_refused(PAGE, &["--learning-rate", "0"], 2, &["--learning-rate"]);
    train_refused(PAGE, &["--min-relevance", "1.5"], 2, &["--min-relevance"]);
    train_refused(PAGE, &["--top-p", "1.5"], 2, &["--top-p"]);
    let below_zero = ["--learning-rate is -1", "above 0"];
    train_refused(PAGE, &["--learning-rate", "-1"], 2, &below_zero);
    let at_least_zero = ["--sft-weight is -1", "at least 0"];
    train_refused(PAGE, &["--sft-weight", "-1"], 2, &at_least_zero);
    for alpha in ["0", "nan", "inf"] {
        train_refused(
            PAGE,
            &["--lora-alpha", alpha],
            2,
            &["--lora-alpha", "above 0"],
        );
    }
    for (flag, value) in [("--rag-top-k", "0"), ("--min-relevance", "1.5")] {
        let chat = ["chat", "--character", "Alice", "--message", "Hi"];
        refused(&[&chat[..], &[flag, value]].concat(), 2, &[flag]);
    }
}

#[test]
fn what_is_not_there_yet_says_so() {
    train_refused(
        PAGE,
        &["--model-engine", "gpt-4"],
        2,
        &["gpt-4", "OPENAI_API_KEY", "offline"],
    );
    train_refused(
        PAGE,
        &["--prp-scale", "7b"],
        1,
        &["google/gemma-1.1-7b-it", "HF_HUB_OFFLINE"],
    );
    for zero in [
        ["--concurrency", "0"],
        ["--timeout", "0"],
        ["--timeout", "-1"],
    ] {
        let chat = ["--model-engine", "m", "--api-base", "http://127.0.0.1:9/v1"];
        train_refused(PAGE, &[&chat[..], &zero].concat(), 2, &[zero[0]]);
    }
    train_refused(PAGE, &["--device", "tpu"], 2, &["--device tpu", "cuda"]);
    for (devices, reason) in [
        ("cpu,cpu", "cpu is named twice"),
        ("cuda,cuda:0", "cuda:0 is named twice"),
        ("cuda:0,cpu", "one kind"),
        ("cuda:0,cuda:x", "x is no number"),
    ] {
        train_refused(PAGE, &["--device", devices], 2, &[devices, reason]);
    }
    if cfg!(not(feature = "cuda")) {
        train_refused(PAGE, &["--device", "cuda"], 2, &["--features cuda"]);
    }
}

#[test]
fn a_judge_without_a_key_and_scores_to_a_device_are_refused_with_what_to_do() {
    let score = ["score", "--character", "Alice"];
    let reply = ["--query", "Hi?", "--response", "Hi.", "--nli", "openai:m"];
    let parts = ["OPENAI_API_KEY", "the judge m", "choose another judge"];
    refused(&[&score[..], &reply].concat(), 2, &parts);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    fs::write(&input, "{\"query\": \"a\", \"response\": \"b\"}\n").unwrap();
    let files = [
        "--input",
        input.to_str().unwrap(),
        "--output",
        "/dev/stdout",
    ];
    refused(&[&score[..], &files].concat(), 2, &["name another file"]);
}

#[test]
fn a_folder_that_is_no_checkpoint_or_another_architecture_is_named() {
    train_refused(
        PAGE,
        &["--model", "no/such/folder"],
        1,
        &["no/such/folder", "there is no such folder", "owner/name"],
    );
    train_refused(
        PAGE,
        &["--model", "https://hub.example/acme/gemma/tree/main"],
        1,
        &["there is no such folder", "acme/gemma for this address"],
    );
    train_refused(PAGE, &["--model", "wiki"], 1, &["wiki", "config.json"]);
    train_refused(
        PAGE,
        &["--model", "tests/data/judges/nli"],
        1,
        &["deberta-v2", "gemma"],
    );
    refused(
        &[&SCORE[..], &["--nli", "models/tiny/gemma"]].concat(),
        1,
        &["gemma", "deberta-v2"],
    );
    refused(
        &[&SCORE[..], &["--nli", "tests/data/judges/relevance"]].concat(),
        1,
        &["2 classes", "3 are needed"],
    );
    let folder = tempfile::tempdir().unwrap();
    let nli = copied(folder.path(), "nli");
    let config = fs::read_to_string(nli.join("config.json")).unwrap();
    for heads in ["0", "7"] {
        let heads = format!("\"num_attention_heads\": {heads}");
        let config = config.replace("\"num_attention_heads\": 4", &heads);
        fs::write(nli.join("config.json"), config).unwrap();
        refused(
            &[&SCORE[..], &["--nli", nli.to_str().unwrap()]].concat(),
            1,
            &["num_attention_heads", "hidden_size is 128"],
        );
    }
}

#[test]
fn a_model_is_not_overwritten_by_what_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let nli = copied(folder.path(), "nli");
    let (nli, data) = (nli.to_str().unwrap(), folder.path().join("data.jsonl"));
    fs::write(&data, "{\"text\": \"a\", \"label\": 0}\n").unwrap();
    let finetune = |model: &str, output: &str, parts: &[&str], code| {
        let data = data.to_str().unwrap();
        let arguments = [
            "finetune", "--epochs", "1", "--data", data, "--model", model,
        ];
        let arguments = [&arguments[..], &["--output", output]].concat();
        refused(&arguments, code, parts);
        refused(&[&arguments[..], &["--force"]].concat(), code, parts);
        assert!(Path::new(output).join("model.safetensors").is_file());
    };
    finetune(nli, nli, &["where the model is read from"], 2);
    finetune(
        "tests/data/judges/relevance",
        nli,
        &["holds a model already"],
        1,
    );
    fs::write(
        &data,
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n",
    )
    .unwrap();
    let gemma = copied(folder.path(), "gemma");
    let gemma = gemma.to_str().unwrap();
    let dpo = [
        "dpo",
        "--pairs",
        data.to_str().unwrap(),
        "--model",
        gemma,
        "--output",
    ];
    refused(
        &[&dpo[..], &[gemma]].concat(),
        2,
        &["where the model is read from"],
    );
    refused(&[&dpo[..], &[nli]].concat(), 1, &["holds a model already"]);
}

#[test]
fn checkpoints_of_other_settings_are_no_beginning_of_a_pretraining() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("models");
    let work = folder.path().join("models.training");
    fs::create_dir_all(work.join("checkpoints")).unwrap();
    let inputs = "{\"seed\": 1, \"language_examples\": 8, \"vocab_size\": 8192}";
    let record = format!("{{\"complete\": false, \"inputs\": {inputs}}}");
    let pretrain = [
        "pretrain",
        "--seed",
        "2",
        "--output",
        output.to_str().unwrap(),
    ];
    let unknown = "settings that are not known";
    for (text, told) in [
        (&record[..], "seed 1 → 2"),
        ("", unknown),
        ("{\"complete\"", unknown),
    ] {
        fs::write(work.join("pretrain.json"), text).unwrap();
        let command = [&pretrain[..], &SMALL_PRETRAINING].concat();
        refused(&command, 1, &[told, "--force"]);
        assert!(!output.exists());
    }
}

#[test]
fn a_pretraining_needs_an_encoder_and_a_corpus_of_personas() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("models");
    let of = |part: &'static str, more: &[&'static str]| {
        let to = ["pretrain", "--only", part, "--output"];
        [&to[..], &[output.to_str().unwrap()], more].concat()
    };
    let nli = "tests/data/judges/nli";
    refused(&of("judges", &[]), 2, &["--base"]);
    let base = ["--base", nli];
    let gemma = of("gemma", &base);
    refused(&gemma, 1, &["relevance", "make the judges first"]);
    let corpus = ["--base", nli, "--corpus", "tests/data/everyday"];
    refused(
        &of("judges", &corpus),
        1,
        &["tests/data/everyday", "files of personas"],
    );
    // The first leaves nothing behind that is in the way of the next.
    for base in [nli, "tests/data/judges/relevance"] {
        refused(&of("judges", &["--base", base]), 1, &[base, "is no BERT"]);
        assert!(!output.join("words").exists());
    }
}

#[test]
fn numbers_below_zero_and_texts_that_begin_with_a_dash_are_read_as_such() {
    for command in ["chat", "generate", "dpo", "finetune"] {
        let (option, others): (_, &[&str]) = match command {
            "chat" => ("--temperature", &["--character", "Alice", "--message", "-"]),
            "generate" => ("--temperature", &["--model", "m", "--prompt", "- a"]),
            "dpo" => ("--beta", &["--model", "m", "--pairs", "p", "--output", "o"]),
            _ => (
                "--learning-rate",
                &[
                    "--model", "m", "--data", "d", "--output", "o", "--epochs", "1",
                ],
            ),
        };
        refused(
            &[&[command, option, "-1"], others].concat(),
            2,
            &[option, "must be"],
        );
    }
    let score = [
        "score",
        "--character",
        "Nobody",
        "--query",
        "- Hi?",
        "--response",
        "- Hi.",
    ];
    refused(&score, 2, &["Nobody"]);
}

#[test]
fn a_message_that_is_too_long_or_empty_is_refused() {
    let long = "word ".repeat(20_000);
    refused(
        &["chat", "--character", "Alice", "--message", &long],
        2,
        &["too long"],
    );
    let middling = "word ".repeat(3000);
    refused(
        &["chat", "--character", "Alice", "--message", &middling],
        2,
        &["tokens", "shorter"],
    );
    refused(
        &["chat", "--character", "Alice", "--message", " "],
        2,
        &["empty"],
    );
}
