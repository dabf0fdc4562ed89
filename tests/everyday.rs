//! The everyday pairs and questions, and the command that measures judges with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use apc::files;
use apc::persona::Everyday;
use serde_json::Value;

use super::bad_input::refused;
use super::cli::{run, text};

fn personas(set: &str) -> Vec<Everyday> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/everyday")
        .join(set);
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let json = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    json.map(|path| files::read_json(&path).unwrap()).collect()
}

#[test]
fn both_sets_have_twenty_personas_whose_statements_decide() {
    let mut names = BTreeSet::new();
    for set in ["dev", "test"] {
        let personas = personas(set);
        assert_eq!(personas.len(), 20);
        let pairs: usize = personas.iter().map(|persona| persona.pairs.len()).sum();
        let questions: usize = personas.iter().map(|persona| persona.questions.len()).sum();
        assert!(
            pairs >= 200 && questions >= 200,
            "{set}: {pairs} {questions}"
        );
        for persona in personas {
            assert!(
                names.insert(persona.name.clone()),
                "{} is twice",
                persona.name
            );
            let n_statements = persona.statements.len();
            let of_pairs = persona.pairs.iter().flat_map(|pair| &pair.statements);
            let of_questions = persona
                .questions
                .iter()
                .flat_map(|question| &question.statements);
            assert!(of_pairs.chain(of_questions).all(|&idx| idx < n_statements));
            assert!(persona.pairs.iter().all(|pair| pair.right != pair.wrong));
            for question in &persona.questions {
                let (answer, mut keys) = (question.answer.to_lowercase(), question.keys.iter());
                assert!(question.statements.is_empty() || keys.any(|key| answer.contains(key)));
            }
        }
    }
}

#[test]
fn a_benchmark_prints_how_many_pairs_and_questions_were_right() {
    let folder = tempfile::tempdir().unwrap();
    let persona = Everyday {
        name: "Mira".into(),
        style: "prose".into(),
        statements: vec!["Mira plays the cello.".into(), "Mira lives in Riga.".into()],
        pairs: serde_json::from_value(serde_json::json!([
            {"query": "What do you play?", "right": "I play the cello.", "wrong": "I do not play the cello.",
             "kind": "contradiction", "statements": [0]},
        ]))
        .unwrap(),
        questions: serde_json::from_value(serde_json::json!([
            {"query": "Where do you live?", "statements": [1], "answer": "in Riga", "keys": ["riga"]},
            {"query": "How tall are you?", "statements": [], "answer": "", "keys": []},
        ]))
        .unwrap(),
    };
    files::write_json(&folder.path().join("Mira.json"), &persona).unwrap();
    let data = folder.path().to_str().unwrap();
    let measured = run(&["benchmark", "--data", data, "--format", "json"]);
    let found: Value = serde_json::from_slice(&measured.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&measured.stderr)));
    for (name, of) in [("pairs", 1), ("first", 1), ("among_five", 1)] {
        assert_eq!(
            found[name],
            serde_json::json!({"right": of, "of": of}),
            "{name}"
        );
    }
    assert_eq!(found["kinds"]["contradiction"]["of"], 1);
    refused(
        &["benchmark", "--data", "tests/data"],
        1,
        &["tests/data", "no file ends in .json"],
    );
}

#[test]
fn a_benchmark_asks_the_characters_that_were_trained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let persona = serde_json::json!({
        "name": "Mira", "style": "prose", "statements": ["Mira plays the cello."], "pairs": [],
        "questions": [
            {"query": "What do you play?", "statements": [0], "answer": "the cello", "keys": ["cello"]},
            {"query": "How tall are you?", "statements": [], "answer": "", "keys": []},
        ],
    });
    files::write_json(&path("everyday/Mira.json"), &persona).unwrap();
    let (data, output) = (path("everyday"), path("output"));
    let asked = [
        "benchmark",
        "--data",
        data.to_str().unwrap(),
        "--answers",
        output.to_str().unwrap(),
    ];
    refused(&asked, 1, &["no such folder"]);
    fs::create_dir(&output).unwrap();
    refused(&asked, 1, &["has no character", "--output"]);

    fs::create_dir_all(output.join("models/Mira")).unwrap();
    let statements = "{\"statement\": \"Mira plays the cello.\"}\n";
    fs::create_dir_all(output.join("data/Mira")).unwrap();
    fs::write(output.join("data/Mira/statements.jsonl"), statements).unwrap();
    let told = run(&asked);
    assert!(
        text(&told.stdout).contains("answered"),
        "{}",
        text(&told.stderr)
    );
    let found: Value =
        serde_json::from_slice(&run(&[&asked[..], &["--format", "json"]].concat()).stdout).unwrap();
    assert_eq!(found["answered"]["of"], 1);
    assert_eq!(found["declined"]["of"], 1);
    assert_eq!(found["broken"]["of"], 2);
    let reply = &found["replies"][0];
    assert_eq!(reply["query"], "What do you play?");
    assert_eq!(reply["retrieved"][0], "Mira plays the cello.");
    assert!(
        reply["response"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
}

/// A statement of the corpus with questions and replies.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    s: String,
    q: Vec<String>,
    e: Vec<String>,
    c: Vec<String>,
    n: Vec<String>,
}

#[test]
fn every_statement_of_the_corpus_has_two_questions_with_three_replies_each() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/corpus");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut n_personas = 0;
    for path in paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jsonl")
    }) {
        let lines: Vec<Line> = files::read_jsonl(&path).unwrap();
        n_personas += 1;
        assert!(lines.len() >= 30, "{}", path.display());
        for line in lines {
            let counts = [&line.q, &line.e, &line.c, &line.n].map(Vec::len);
            let wanted = if line.s.is_empty() {
                [1, 1, 0, 0]
            } else {
                [2; 4]
            };
            assert_eq!(counts, wanted, "{}: {}", path.display(), line.q[0]);
        }
    }
    assert!(n_personas >= 150, "{n_personas}");
}
