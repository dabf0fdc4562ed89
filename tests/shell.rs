//! The programs among others: pipes, ends that are closed, folders that are held, names that a shell would read otherwise.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::cli::{CHAT, PAGE, SHORT, SMALL_PRETRAINING, apc, run, strs, text};

/// What a terminal would obey.
const ESCAPE: &str = "\u{1b}]0;owned\u{7}";

fn score_arguments<'a>(statements: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let arguments = ["score", "--character", "Mira", "--statements", statements];
    let texts = ["--query", "Do you sing?", "--response", "I sing."];
    [&arguments[..], &texts, more].concat()
}

fn assert_shown(output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t');
        assert!(!bytes.iter().any(control), "{}", text(bytes));
        assert!(!text(bytes).contains('\u{9b}'));
    }
}

#[test]
fn nothing_that_a_terminal_would_obey_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("statements.txt");
    fs::write(
        &statements,
        format!("Mira {ESCAPE} sings.\nMira \u{9b}2J swims.\n"),
    )
    .unwrap();
    let statements = statements.to_str().unwrap();
    let table = run(&score_arguments(
        statements,
        &["--response", ESCAPE, "--verbose"],
    ));
    assert!(table.status.success());
    assert_shown(&table);
    assert!(text(&table.stdout).contains("\\u{1b}]0;owned"));
    let json = run(&score_arguments(statements, &["--format", "json"]));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let told = json["responses"][0]["statements"].to_string();
    assert!(told.contains("\\u001b"), "data is left as it is: {told}");

    let adapter = folder.path().join("adapter");
    fs::create_dir(&adapter).unwrap();
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 2.0, "target_modules": ["q_proj"],
        "base_model_name_or_path": format!("nobody/{ESCAPE}")});
    fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
    let named = format!("no/{ESCAPE}/file");
    for arguments in [
        [&CHAT[..], &["--adapter", adapter.to_str().unwrap()]].concat(),
        vec![
            "classify",
            "--model",
            "tests/data/judges/nli",
            "--texts",
            &named,
        ],
        vec!["train", "--character", ESCAPE],
        vec!["train", "--character", "Mira", ESCAPE],
        vec![
            "dpo", "--model", &named, "--pairs", &named, "--output", &named,
        ],
    ] {
        let refused = run(&arguments);
        assert!(!refused.status.success());
        assert_shown(&refused);
        assert_eq!(text(&refused.stderr).lines().count(), 1, "{arguments:?}");
    }
}

/// The writing end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn short_train(folder: &Path) -> Command {
    let page = folder.join("page.txt");
    fs::write(&page, PAGE).unwrap();
    let [page, output] = [&page, folder].map(|path| path.to_str().unwrap());
    let mut command = apc(&["train", "--data-only", "--wiki", page, "--output", output]);
    command.args(["--character", "Mira"]);
    command
}

#[test]
fn nobody_need_read_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let told = short_train(folder.path())
        .stderr(unread())
        .output()
        .unwrap();
    assert!(told.status.success() && text(&told.stdout).contains("statements"));
    let made = short_train(folder.path())
        .stdout(unread())
        .output()
        .unwrap();
    assert!(
        made.status.success() && made.stderr.is_empty(),
        "{}",
        text(&made.stderr)
    );
    let messages = [
        "--message",
        "Who are you?",
        "--message",
        "Where do you live?",
    ];
    let chat = ["chat", "--character", "Alice", "--adapter", "none"];
    for format in ["text", "json"] {
        let arguments = [&chat[..], &messages, &["--format", format]].concat();
        let said = apc(&arguments).stdout(unread()).output().unwrap();
        assert!(
            said.status.success() && said.stderr.is_empty(),
            "{}",
            text(&said.stderr)
        );
    }
    let usage = apc(&["chat", "--nonsense"])
        .stderr(unread())
        .status()
        .unwrap();
    assert_eq!(usage.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_for_messages_is_no_reason_to_stop_and_one_for_results_is() {
    let folder = tempfile::tempdir().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let told = short_train(folder.path()).stderr(full()).output().unwrap();
    assert!(told.status.success());
    let failed = short_train(folder.path()).stdout(full()).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("cannot write to stdout"));
}

#[cfg(unix)]
#[test]
fn a_pipe_to_which_nobody_writes_is_left_at_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let name = pipe.to_str().unwrap();
    let output = folder.path().to_str().unwrap();
    for arguments in [
        vec![
            "train",
            "--character",
            "Mira",
            "--output",
            output,
            "--wiki",
            name,
        ],
        score_arguments(name, &[]),
        vec![
            "classify",
            "--model",
            "tests/data/judges/nli",
            "--texts",
            name,
        ],
    ] {
        let child = apc(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        // Opening it waits for the program to do the same.
        let _writer = File::options().write(true).open(&pipe).unwrap();
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    }
    // A conversation waits for its next line.
    let chat = ["chat", "--character", "Alice", "--adapter", "none"];
    let mut child = apc(&chat);
    let child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"Who are you?\n").unwrap();
    let mut said = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let _stdin = child.stdin.take();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

/// Runs a line of bash in which `apc` is the program.
#[cfg(unix)]
fn bash(folder: &Path, script: &str) -> Output {
    let program = assert_cmd::cargo::cargo_bin!("apc");
    let root = env!("CARGO_MANIFEST_DIR");
    let script = format!("apc() {{ '{}' \"$@\"; }}; {script}", program.display());
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .current_dir(root)
        .env("OUT", folder);
    command.env_remove("APC_DEVICE").output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_pipe_is_known_by_what_was_read_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let told = |script: &str| {
        let output = bash(folder.path(), script);
        let told = text(&output.stderr) + &text(&output.stdout);
        assert!(output.status.success(), "{told}");
        told
    };
    let statement = r#"{\"statement\": \"Mira sings.\"}"#;
    let score = "apc score --character Mira --query 'Hi?' --response 'I sing.'";
    assert!(told(&format!("{score} --statements <(echo \"{statement}\")")).contains("of 1"));

    let page = |more: &str| {
        let page = format!("Mira is a carpenter. She plays the cello. {more}");
        let train = "apc train --character Mira --output \"$OUT\" --data-only --wiki";
        told(&format!("{train} <(echo '{page}')"))
    };
    page("");
    assert!(!page("").contains("again"));
    assert!(page("She has two brothers.").contains("page changed"));

    let data = |label: usize| {
        let line = format!(r#"{{\"text\": \"Mira sings.\", \"label\": {label}}}"#);
        let finetune = "apc finetune --model tests/data/judges/nli --epochs 1 --held-out 0";
        told(&format!(
            "{finetune} --output \"$OUT/judge\" --data <(echo \"{line}\")"
        ))
    };
    data(0);
    assert!(data(0).contains("nothing was done"));
    assert!(data(1).contains("data changed"), "hashed as it was read");

    let refused = bash(
        folder.path(),
        "apc train --character Alice --output \"$OUT\" --judge-templates <(echo '{}')",
    );
    assert!(
        text(&refused.stderr).contains("save it to a file"),
        "{}",
        text(&refused.stderr)
    );
}

#[cfg(unix)]
#[test]
fn what_one_run_writes_to_another_leaves_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("data.jsonl"), "{\"text\": \"a\", \"label\": 0}\n").unwrap();
    fs::write(path("Mira.json"), r#"[{"statement": "Mira sings."}]"#).unwrap();
    let (out, data, from) = (path("out"), path("data.jsonl"), path(""));
    let pairs = root.join("tests/golden/dpo-run/pairs.jsonl");
    let pairs = pairs.to_str().unwrap();
    let finetune = [
        "finetune",
        "--model",
        "tests/data/judges/nli",
        "--epochs",
        "1",
    ];
    let model = ["--model", "tests/golden/dpo-run"];
    let to = ["--output", &out];
    let pretrain = [&["pretrain"][..], &to, &SMALL_PRETRAINING].concat();
    fs::create_dir(&out).unwrap();
    let held = File::open(&out).unwrap();
    held.lock().unwrap();
    for arguments in [
        [&finetune[..], &["--data", &data], &to].concat(),
        [&["dpo"], &model[..], &["--pairs", pairs], &to].concat(),
        [
            &["merge"],
            &model[..],
            &["--adapter", "tests/golden/dpo-run/init"],
            &to,
        ]
        .concat(),
        [&["quantize"], &model[..], &to].concat(),
        pretrain,
    ] {
        let refused = run(&arguments);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("another run is at work here"), "{told}");
    }
    drop(held);

    let lock = folder.path().join("data/Mira/stages/lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = File::create(&lock).unwrap();
    held.lock().unwrap();
    let import = ["import", &from, "--character", "Mira", "--output", &from];
    let refused = run(&import);
    assert!(text(&refused.stderr).contains("another run is at work here"));
    assert!(!folder.path().join("data/Mira/imported").exists());
    drop(held);
    assert!(run(&import).status.success());

    // Two runs would pay for the same answers.
    let answers = folder.path().join("data/Mira/nli-judgements.jsonl");
    let held = File::create(&answers).unwrap();
    held.lock().unwrap();
    let statements = path("statements.txt");
    fs::write(&statements, "Mira sings.\n").unwrap();
    let judge = ["--nli", "openai:m", "--api-base", "http://127.0.0.1:9/v1"];
    let refused = run(&score_arguments(
        &statements,
        &[&judge[..], &["--output", &from]].concat(),
    ));
    assert!(text(&refused.stderr).contains("another run is at work here"));
}

#[test]
fn commands_are_advised_as_a_shell_takes_them_and_as_the_program_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let name = "Mira $(touch owned)";
    fs::write(
        folder.path().join(format!("{name}.json")),
        r#"[{"statement": "Mira sings."}]"#,
    )
    .unwrap();
    let output = folder.path().join("my out");
    let arguments = [
        "import",
        folder.path().to_str().unwrap(),
        "--character",
        name,
    ];
    let arguments = [&arguments[..], &["--output", output.to_str().unwrap()]].concat();
    let told = |command: &mut Command| text(&command.output().unwrap().stdout);
    let by_path = told(apc(&arguments).env_remove("CARGO_PKG_NAME"));
    let program = assert_cmd::cargo::cargo_bin!("apc").display().to_string();
    let next = format!(
        "{program} train --character '{name}' --output '{}'",
        output.display()
    );
    assert!(by_path.contains(&next), "{by_path}");
    let by_cargo = told(apc(&arguments).env("CARGO_PKG_NAME", env!("CARGO_PKG_NAME")));
    assert!(
        by_cargo.contains("--bin apc -- train --character 'Mira $("),
        "{by_cargo}"
    );
}

#[test]
fn a_character_of_another_spelling_is_suggested() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().to_str().unwrap();
    assert!(
        short_train(folder.path())
            .output()
            .unwrap()
            .status
            .success()
    );
    for (arguments, meant) in [
        (
            vec!["chat", "--character", "mira", "--message", "Hi"],
            "there is Mira",
        ),
        (
            vec!["chat", "--character", "alice", "--message", "Hi"],
            "say --character Alice",
        ),
    ] {
        let refused = run(&[&arguments[..], &["--output", output]].concat());
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            text(&refused.stderr).contains(meant),
            "{}",
            text(&refused.stderr)
        );
    }
    let arguments: Vec<String> = SHORT.map(str::to_string).into();
    let refused = run(&[&["train", "--wiki", "no/page"], &strs(&arguments)[..]].concat());
    assert!(text(&refused.stderr).contains("no/page"));
}
