//! Encoders of sentences as judges of relevance, as sentence-transformers publishes them.

use std::fs;
use std::path::Path;

use apc::files;
use apc::persona::{JudgeTask, Persona};
use apc::progress::Job;
use serde_json::{Value, json};

use super::hub;
use super::hub_server::HubServer;
use super::public_judges::{assert_close, load, relevance};

/// The embedded relevance judge as sentence-transformers would publish it: without `judge.json`.
fn published(modules: &Value, pooling: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "judge.json" {
            fs::copy(&path, folder.path().join(name)).unwrap();
        }
    }
    files::write_json(&folder.path().join("modules.json"), modules).unwrap();
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    files::write_json(&folder.path().join("1_Pooling/config.json"), pooling).unwrap();
    folder
}

fn module(kind: &str, path: &str) -> Value {
    json!({"name": "0", "path": path, "type": format!("sentence_transformers.models.{kind}")})
}

#[test]
fn an_encoder_of_sentences_judges_relevance_by_similarity() {
    let modules = json!([
        module("Transformer", ""),
        module("Pooling", "1_Pooling"),
        module("Normalize", "2_Normalize")
    ]);
    let older = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false});
    let newer = json!({"pooling_mode": "mean"});
    let mut found = Vec::new();
    for pooling in [older, newer] {
        let folder = published(&modules, &pooling);
        let judge = load(folder.path(), JudgeTask::Relevance).unwrap();
        assert_eq!(judge.remarks().len(), 1, "{:?}", judge.remarks());
        assert!(judge.remarks()[0].contains("even odds"));
        let rows = relevance(&judge);
        assert!(
            rows[0] > 0.5 && rows[0] > rows[1] && rows[3] > 0.5 && rows[3] > rows[2],
            "{rows:?}"
        );
        found.push(rows);

        // What it says of itself takes the place of what is usual.
        let format = json!({"pair": ["{statement}", "{query}"], "similarity": {"pooling": "mean", "logit_scale": 1.0, "logit_bias": 0.0}});
        files::write_json(&folder.path().join("judge.json"), &format).unwrap();
        let judge = load(folder.path(), JudgeTask::Relevance).unwrap();
        assert!(judge.remarks().is_empty());
        let odds = |p: f64| (p / (1.0 - p)).ln();
        let usual: Vec<f64> = found[0].iter().map(|&p| (odds(p) + 4.2) / 14.0).collect();
        let own: Vec<f64> = relevance(&judge).into_iter().map(odds).collect();
        assert_close(&own, &usual, "cosines");
    }
    assert_eq!(found[0], found[1]);
}

#[test]
fn an_encoder_of_sentences_that_cannot_judge_is_refused_by_name() {
    let modules = |third: &str| {
        json!([
            module("Transformer", ""),
            module("Pooling", "1_Pooling"),
            module(third, "2_X")
        ])
    };
    let mean = json!({"pooling_mode": "mean"});
    let refused = |modules: &Value, pooling: &Value, judge: Option<Value>, task: JudgeTask| {
        let folder = published(modules, pooling);
        if let Some(judge) = judge {
            files::write_json(&folder.path().join("judge.json"), &judge).unwrap();
        }
        load(folder.path(), task).unwrap_err()
    };
    let usual = modules("Normalize");
    let max = json!({"pooling_mode_max_tokens": true});
    let one_text = json!({"template": "{query} {statement}"});
    let both = json!({"pair": ["{query} {statement}", "{statement}"]});
    let scale = json!({"similarity": {"logit_scale": 0.0, "logit_bias": 0.0}});
    let outside = json!([module("Transformer", ""), module("Pooling", "../x")]);
    for (told, found) in [
        (
            "relevance alone",
            refused(&usual, &mean, None, JudgeTask::Nli),
        ),
        (
            "models.Dense",
            refused(&modules("Dense"), &mean, None, JudgeTask::Relevance),
        ),
        ("max", refused(&usual, &max, None, JudgeTask::Relevance)),
        (
            "not one of its own",
            refused(&outside, &mean, None, JudgeTask::Relevance),
        ),
        (
            "no module that pools",
            refused(
                &json!([module("Transformer", "")]),
                &mean,
                None,
                JudgeTask::Relevance,
            ),
        ),
        (
            "apart",
            refused(&usual, &mean, Some(one_text), JudgeTask::Relevance),
        ),
        (
            "the other has {statement}",
            refused(&usual, &mean, Some(both), JudgeTask::Relevance),
        ),
        (
            "above zero",
            refused(&usual, &mean, Some(scale), JudgeTask::Relevance),
        ),
    ] {
        assert!(found.contains(told), "{told}: {found}");
    }
}

#[test]
fn an_encoder_of_sentences_comes_with_the_files_that_say_how_it_pools() {
    let mut published = hub::repository("models/tiny/relevance");
    published.files.remove("judge.json");
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    let pooling = r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#;
    for (name, text) in [
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
    ] {
        published.files.insert(name.into(), text.into());
    }
    let server = HubServer::new(&[("acme/encoder", published)]);
    let cache = tempfile::tempdir().unwrap();
    let arguments = [
        "score",
        "--character",
        "Alice",
        "--query",
        "Where do you live?",
        "--response",
        "By the sea.",
        "--relevance",
        "acme/encoder",
        "--format",
        "json",
    ];
    let done = hub::apc(cache.path(), &server.address, &arguments)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && told.contains("even odds"),
        "{told}"
    );
}

#[test]
fn an_encoder_reads_no_more_tokens_than_it_was_trained_to() {
    let modules = json!([module("Transformer", ""), module("Pooling", "1_Pooling")]);
    let folder = published(&modules, &json!({"pooling_mode": "mean"}));
    let statement = format!(
        "Mira plays the cello{}.",
        " on the stage of the town hall".repeat(3)
    );
    let judged = |statement: &str| {
        let judge = load(folder.path(), JudgeTask::Relevance).unwrap();
        let persona = Persona::new("Mira", [statement]);
        let queries = ["What do you play?".to_string()];
        judge
            .relevance(None, &persona, &queries, &Job::default())
            .unwrap()
            .rows[0][0]
    };
    let whole = judged(&statement);
    let limit = json!({"max_seq_length": 8, "do_lower_case": false});
    files::write_json(&folder.path().join("sentence_bert_config.json"), &limit).unwrap();
    let cut = judged(&statement);
    assert!((cut - whole).abs() > 0.01, "{cut} {whole}");
}
