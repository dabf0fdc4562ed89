//! The embedded judges on replies that people wrote.

use std::path::Path;

use apc::persona::{Judge, JudgeTask, StatementScore, judge_nli, judge_relevance, score};
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
    let (device, job) = (Device::flex().into(), Job::default());
    let relevance = Judge::load(
        &root.join(folder).join("relevance").into(),
        JudgeTask::Relevance,
        &device,
    )
    .unwrap();
    let nli = Judge::load(
        &root.join(folder).join("nli").into(),
        JudgeTask::Nli,
        &device,
    )
    .unwrap();
    let triples: Vec<Triple> =
        apc::files::read_jsonl(&root.join("tests/data/triples.jsonl")).unwrap();
    assert_eq!(triples.len(), 40);
    let mut right = 0;
    for triple in &triples {
        let Triple {
            character,
            statements,
            query,
            ..
        } = triple;
        let table = judge_relevance(
            &relevance,
            None,
            character,
            statements,
            std::slice::from_ref(query),
            &job,
        )
        .unwrap();
        let replies = [&triple.best, &triple.vaguer, &triple.wrong]
            .map(|reply| (query.as_str(), reply.as_str()));
        let rows = judge_nli(&nli, character, statements, &replies, &job).unwrap();
        let apc: Vec<f64> = rows
            .iter()
            .map(|row| {
                let parts = statements.iter().zip(&table.rows[0]).zip(row).map(
                    |((statement, &relevance), &[contradicted, neutral, entailed])| {
                        StatementScore {
                            statement: statement.clone(),
                            relevance,
                            contradicted,
                            neutral,
                            entailed,
                        }
                    },
                );
                score(parts.collect()).apc
            })
            .collect();
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
