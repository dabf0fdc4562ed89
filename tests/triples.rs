//! The embedded judges on replies that were written by hand, not from templates.

use std::path::Path;

use apc::files::Checkpoint;
use apc::persona::{Everyday, Persona, Scorer, Understanding};
use apc::progress::Job;
use burn::tensor::Device;
use serde::Deserialize;

/// Personas of the development set, one of each style.
const EVERYDAY: [&str; 5] = ["Anneke", "Ashok", "Bridie", "Bruno", "Cosima"];

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

/// A short reply to one statement, written by a language model that saw nothing of this repository; no model here was trained on it.
#[derive(Deserialize)]
struct Plain {
    statement: String,
    query: String,
    response: String,
    label: String,
}

/// How many of a file's replies that follow or contradict the embedded NLI judge tells from each other, and how many there are.
fn told_apart(file: &str) -> (usize, usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scorer = apc::tiny::scorer(&Device::flex().into()).unwrap();
    let replies: Vec<Plain> = apc::files::read_jsonl(&root.join("tests/data").join(file)).unwrap();
    let (mut right, mut n) = (0, 0);
    for plain in replies.iter().filter(|plain| plain.label != "neutral") {
        let name = plain.statement.split([' ', '\'']).next().unwrap();
        let persona = Persona::new(name, [plain.statement.as_str()]);
        let scores = scorer.score_all(
            &persona,
            &plain.query,
            &[plain.response.as_str()],
            &Job::default(),
        );
        let found = &scores.unwrap()[0].statements[0];
        n += 1;
        right += usize::from((found.entailed > found.contradicted) == (plain.label == "entailed"));
    }
    (right, n)
}

#[test]
fn short_plain_replies_that_follow_are_told_from_those_that_contradict() {
    let (right, n) = told_apart("plain.jsonl");
    assert_eq!(n, 160);
    assert!(right >= 120, "{right} of {n}");
}

#[test]
fn replies_about_a_number_an_opposite_a_fear_or_another_value_are_told_apart() {
    let (right, n) = told_apart("near_misses.jsonl");
    assert_eq!(n, 200);
    assert!(right >= 130, "{right} of {n}");
}

#[test]
fn replies_written_by_hand_come_out_in_the_right_order() {
    let share = right_order("models/tiny");
    assert!(share >= 0.65, "{share}");
}

#[test]
fn of_three_replies_the_fullest_scores_highest_and_the_wrong_one_lowest() {
    let scorer = apc::tiny::scorer(&Device::flex().into()).unwrap();
    for (name, with, place, query, replies) in [
        (
            "Tamsin Orrell",
            "Tamsin Orrell lives with her brother, Edric Orrell.",
            "Tamsin Orrell lives in Kestrelmere.",
            "Where do you live, Tamsin?",
            [
                "I live in Kestrelmere with my brother, Edric!",
                "I live in Kestrelmere!",
                "I live in Dunholt Abbey!",
            ],
        ),
        (
            "Ilse Brandt",
            "Ilse Brandt works with her cousin, Jonas.",
            "Ilse Brandt works at the Vellmar bakery.",
            "Where do you work?",
            [
                "At the Vellmar bakery, with my cousin Jonas.",
                "At the Vellmar bakery.",
                "At the Ostheim brewery.",
            ],
        ),
    ] {
        let persona = Persona::new(name, [with, place]);
        let scores = scorer.score_all(&persona, query, &replies, &Job::default());
        let scores = scores.unwrap();
        let apc: Vec<f64> = scores.iter().map(|score| score.apc).collect();
        assert!(
            apc[0] > apc[1] && apc[1] > apc[2] && apc[2] < 0.6,
            "{apc:?}"
        );
        for statement in &scores[0].statements {
            assert!(statement.entailed > 0.5, "{statement:?}");
        }
    }
}

#[test]
fn both_pairs_of_judges_understand_everyday_talk() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, pairs, first, among_five) in [
        ("models/tiny", 0.8, 0.7, 0.9),
        ("models/tiny/evaluation", 0.7, 0.55, 0.8),
    ] {
        let judge = |name| Checkpoint::folder(root.join(folder).join(name)).into();
        let scorer = Scorer::load(&judge("relevance"), &judge("nli"), &Device::flex().into());
        let scorer = scorer.unwrap();
        let mut found = Understanding::default();
        // A quarter of the development set, a page of each style.
        for name in EVERYDAY {
            let path = root.join(format!("tests/data/everyday/dev/{name}.json"));
            let everyday: Everyday = apc::files::read_json(&path).unwrap();
            everyday
                .measure(&scorer, &mut found, &Job::default())
                .unwrap();
        }
        assert_eq!(found.styles.len(), EVERYDAY.len());
        let rates = [found.pairs, found.first, found.among_five].map(|share| share.rate());
        assert!(
            rates
                .iter()
                .zip([pairs, first, among_five])
                .all(|(rate, least)| *rate >= least),
            "{folder}: {rates:?}"
        );
    }
}
