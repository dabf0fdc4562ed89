//! Whether the statements that a follow-up asks for are found: `tests/data/follow_ups`, of which `dev.json` was looked at when the
//! way was chosen and `test.json` was not.

use std::path::Path;
use std::sync::Arc;

use apc::files;
use apc::persona::{AnswerConfig, Conversation, Exchange, Persona, RelevanceTable, Role};
use apc::progress::Job;
use apc::tiny::scorer;
use burn::tensor::Device;
use serde::Deserialize;

#[derive(Deserialize)]
struct Talks {
    name: String,
    statements: Vec<String>,
    talks: Vec<Talk>,
}

#[derive(Deserialize)]
struct Talk {
    exchanges: Vec<Exchange>,
    query: String,
    /// The statements that the reply needs.
    answers: Vec<String>,
}

/// How many follow-ups of a set have all of their statements among the `shown` that matter most, and how many there are; with
/// what was said before, or by themselves.
fn found(set: &str, shown: usize, in_context: bool) -> [usize; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/follow_ups")
        .join(set);
    let all: Vec<Talks> = files::read_json(&path).unwrap();
    let scorer = Arc::new(scorer(&Device::flex().into()).unwrap());
    let (mut found, mut total) = (0, 0);
    for Talks {
        name,
        statements,
        talks,
    } in all
    {
        let persona = Persona::new(&name, statements.clone());
        let role = Role::new(persona, scorer.clone(), AnswerConfig::new()).unwrap();
        for talk in talks {
            let mut conversation = Conversation::asked(talk.query);
            if in_context {
                conversation.exchanges = talk.exchanges;
            }
            let turns = conversation.turns();
            let rows = role
                .relevance(&turns[turns.len() - 1..], &Job::default())
                .unwrap();
            let shown = shown.max(talk.answers.len());
            let shown = RelevanceTable { rows }.retrieve(0, shown);
            let is_shown = |answer: &String| shown.iter().any(|&idx| statements[idx] == *answer);
            found += usize::from(talk.answers.iter().all(is_shown));
            total += 1;
        }
    }
    [found, total]
}

#[test]
fn the_statements_of_most_follow_ups_are_found_with_what_was_said_before() {
    // The embedded Gemma is shown one statement, others five.
    for (set, shown, least) in [
        ("dev.json", 1, 15),
        ("dev.json", 5, 20),
        ("test.json", 1, 20),
        ("test.json", 3, 28),
    ] {
        let ([found, total], [alone, _]) = (
            self::found(set, shown, true),
            self::found(set, shown, false),
        );
        let told = format!("{set}: {found} of {total} among {shown}, {alone} by themselves");
        assert!(found >= least && found >= alone, "{told}");
    }
}
