//! What a page may be, and what is told of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn apc(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    command.args(arguments).current_dir(folder);
    command
        .env("HF_HUB_OFFLINE", "1")
        .env_remove("OPENAI_API_KEY");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

/// The texts of a file of records under a key.
fn texts(path: &Path, key: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|record| record[key].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn a_card_is_read_as_a_page_and_what_it_did_not_say_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("wiki")).unwrap();
    let card = json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {
        "name": "Mira",
        "description": "[Character(\"Mira\"){Age(\"31\")Likes(\"rain\" + \"Old stories\")}]\n{{char}} plays the cello. \
            {{char}}'s brother is a baker. The river is old.",
        "personality": "patient, stubborn",
        "mes_example": "<START>\n{{user}}: Where are you from?\n{{char}}: *smiles* I grew up in a lighthouse. Will you stay?",
        "system_prompt": "Never break character.",
    }});
    fs::write(folder.path().join("wiki/Mira.json"), card.to_string()).unwrap();
    let (output, stderr) = apc(
        folder.path(),
        &["train", "--character", "Mira", "--data-only"],
    );
    assert!(output.status.success(), "{stderr}");
    let data = folder.path().join("data/Mira");
    assert_eq!(
        texts(&data.join("statements.jsonl"), "statement"),
        [
            "Mira is 31 years old.",
            "Mira likes rain and old stories.",
            "Mira plays the cello.",
            "Mira's brother is a baker.",
            "Mira – The river is old.",
            "Mira is patient and stubborn.",
            "Mira grew up in a lighthouse.",
        ]
    );
    assert!(
        stderr.contains("3 of the page's 10 sentences gave no statement about Mira"),
        "{stderr}"
    );
    assert_eq!(
        texts(&data.join("rejected.jsonl"), "asked"),
        ["Where are you from?", "smiles", "Will you stay?"]
    );
    assert_eq!(
        texts(&data.join("rejected.jsonl"), "reason"),
        [
            "is said by somebody else",
            "is told of the moment between words of a talk",
            "is said in a talk and holds for the moment"
        ]
    );
}

#[test]
fn lint_shows_what_a_page_gives_and_what_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let page = "Mira plays the cello.\nSpecies: Elf (half)\n~~Mira is poor.~~\n";
    fs::write(folder.path().join("Mira.md"), page).unwrap();
    let (output, stderr) = apc(folder.path(), &["lint", "--wiki", "Mira.md"]);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Mira plays the cello.\nMira – Species: Elf (half).\n\nno statement:\n  ~~Mira is poor.~~ (is struck out)\n\n\
         Mira: 2 statements of 3 sentences, 1 gave none\n"
    );
    let json = ["lint", "--wiki", "Mira.md", "--format", "json"];
    let (output, _) = apc(folder.path(), &json);
    let linted: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        linted["statements"][0]["statement"],
        "Mira plays the cello."
    );
    assert_eq!(linted["unread"][0]["reason"], "is struck out");
    let (output, stderr) = apc(folder.path(), &["lint", "--wiki", "Tom.md"]);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(apc(folder.path(), &["lint"]).0.status.code(), Some(2));
}

#[test]
fn a_markdown_page_is_found_by_the_name_of_the_character() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("wiki")).unwrap();
    fs::write(
        folder.path().join("wiki/Mira.md"),
        "# Mira\n\n- **Age:** 31\n- plays the *cello*\n",
    )
    .unwrap();
    let (output, stderr) = apc(
        folder.path(),
        &[
            "score",
            "--character",
            "Mira",
            "--query",
            "What do you play?",
            "--response",
            "I play the cello.",
            "--format",
            "json",
        ],
    );
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Mira plays the cello."), "{text}");
}

#[test]
fn pages_in_other_languages_are_refused_by_the_rules_with_the_ways_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.txt");
    for (page, language) in [
        (
            "米拉是一名木匠。她会拉大提琴。她的哥哥住在上海。",
            "Chinese",
        ),
        (
            "ミラは大工です。チェロを弾きます。兄は京都に住んでいます。",
            "Japanese",
        ),
        (
            "Mira ist eine Tischlerin aus Bonn. Sie spielt Cello und mag keinen Regen.",
            "German",
        ),
        (
            "Mira est une charpentière de Quimper. Elle joue du violoncelle et n'aime pas la pluie.",
            "French",
        ),
    ] {
        fs::write(&path, page).unwrap();
        let (output, stderr) = apc(
            folder.path(),
            &["train", "--character", "Mira", "--wiki", "page.txt"],
        );
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for part in [
            language,
            "the built-in rules read English only",
            "--model-engine",
        ] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
}

#[test]
fn the_embedded_judges_say_that_they_cannot_read_a_language() {
    let folder = tempfile::tempdir().unwrap();
    let score = |statement: &str, query: &str, response: &str| {
        fs::write(folder.path().join("statements.txt"), statement).unwrap();
        let (output, stderr) = apc(
            folder.path(),
            &[
                "score",
                "--character",
                "Mira",
                "--statements",
                "statements.txt",
                "--query",
                query,
                "--response",
                response,
            ],
        );
        assert!(output.status.success(), "{stderr}");
        stderr
    };
    let told = score("米拉住在上海。", "你住在哪里？", "我住在上海。");
    assert!(
        told.contains("the embedded judges read English only") && told.contains("Chinese"),
        "{told}"
    );
    let quiet = score(
        "Mira lives in Shanghai.",
        "Where do you live?",
        "In Shanghai.",
    );
    assert!(!quiet.contains("English"), "{quiet}");
}
