//! The embedded judges on replies that people wrote.

use std::path::Path;

use apc::files::Checkpoint;
use apc::persona::{Persona, Scorer};
use apc::progress::Job;
use burn::tensor::Device;
use serde::Deserialize;

#[derive(Deserialize)]
struct Triple {
    character: String,
    statements: Vec<String>,
    query: String,
    best: String,
    vaguer: String,
    wrong: String,
}

/// The share of pairs whose order by APC is right: best above vaguer above wrong.
fn right_order(folder: &str) -> f64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let judge = |name| Checkpoint::folder(root.join(folder).join(name)).into();
    let scorer = Scorer::load(&judge("relevance"), &judge("nli"), &Device::flex().into()).unwrap();
    let triples: Vec<Triple> =
        apc::files::read_jsonl(&root.join("tests/data/triples.jsonl")).unwrap();
    assert_eq!(triples.len(), 40);
    let mut right = 0;
    for triple in &triples {
        let persona = Persona::new(&triple.character, &triple.statements);
        let replies = [&triple.best, &triple.vaguer, &triple.wrong].map(String::as_str);
        let scores = scorer.score_all(&persona, &triple.query, &replies, &Job::default());
        let apc: Vec<f64> = scores.unwrap().iter().map(|score| score.apc).collect();
        right += [apc[0] > apc[1], apc[1] > apc[2], apc[0] > apc[2]]
            .into_iter()
            .filter(|right| *right)
            .count();
    }
    right as f64 / (3 * triples.len()) as f64
}

#[test]
fn replies_written_by_hand_come_out_in_the_right_order() {
    let share = right_order("models/tiny");
    assert!(share >= 0.7, "{share}");
}
