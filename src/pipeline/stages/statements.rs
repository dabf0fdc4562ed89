//! From the page to persona statements.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::persona::Statement;
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::rejected::settle;
use crate::teacher::Rejected;
use crate::teacher::chat::length;
use crate::{Error, Result, files};

pub(in crate::pipeline) fn spec(run: &Run<'_>) -> StageSpec {
    run.stage("statements")
        .with_settings(json!({
            "character": run.config.character,
            "page": run.page.hash(),
            "teacher": run.teacher.version(),
        }))
        .with_about(json!({
            "page_name": run.page.name(),
            "page_reference": run.page.reference(&run.config.output),
        }))
        .writes(Output::data(run.layout.statements()))
}

pub(in crate::pipeline) fn make(run: &mut Run<'_>) -> Result<Vec<String>> {
    let path = run.layout.statements();
    let mut stage = run.open(spec(run))?;
    if !stage.is_complete() {
        let (character, started) = (&run.config.character, Instant::now());
        let statements = run.teacher.statements(character, run.page.text())?;
        let unread = unread(run);
        settle(run, "statements", started, unread)?;
        if statements.len() < 2 {
            let found = match statements.len() {
                0 => "no statement",
                _ => "only one statement",
            };
            let reason = format!(
                "{found} about {character} was found; write more whole sentences that name {character}"
            );
            return Err(Error::invalid(run.page.path(), reason));
        }
        stage.write_jsonl(&path, &statements, run.job)?;
        stage.complete()?;
    }
    let statements: Vec<Statement> = files::read_jsonl(&path)?;
    let texts: Vec<String> = statements
        .into_iter()
        .map(|known| known.statement)
        .collect();
    check_lengths(&path, texts.iter().enumerate())?;
    Ok(texts)
}

/// Whether no judge could read a sentence with a question and a reply.
pub fn is_too_long(sentence: &str) -> bool {
    /// About 400 tokens; judges read 512.
    const MOST: usize = 1600;
    length(sentence) > MOST
}

/// Fails if a line of a file has a sentence that no judge could read with a question and a reply.
pub(super) fn check_lengths<'a>(
    path: &Path,
    sentences: impl Iterator<Item = (usize, &'a String)>,
) -> Result<()> {
    for (line_idx, sentence) in sentences {
        if is_too_long(sentence) {
            let begin: String = sentence.chars().take(40).collect();
            let reason = format!(
                "line {}: \"{begin}…\" has {} characters, which is more than a judge reads with a reply; make shorter \
                 sentences of it",
                line_idx + 1,
                sentence.chars().count()
            );
            return Err(Error::invalid(path, reason));
        }
    }
    Ok(())
}

/// The sentences of the page that gave no statement; a line says how many they are.
fn unread(run: &Run<'_>) -> Vec<Rejected> {
    let (character, page) = (&run.config.character, run.page.text());
    let Some((unread, n_sentences)) = run.teacher.unread(character, page) else {
        return Vec::new();
    };
    if !unread.is_empty() {
        run.job.progress.note(&format!(
            "{} of the page's {n_sentences} sentences gave no statement about {character}; each is with its reason in {}",
            unread.len(),
            run.layout.rejected().display()
        ));
    }
    let rejected = unread.into_iter().map(|unread| Rejected {
        task: "statements".to_string(),
        asked: unread.text,
        replies: Vec::new(),
        reason: unread.reason,
    });
    rejected.collect()
}
