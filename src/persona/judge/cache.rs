//! Cache of relevance probabilities on disk.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Result, files};

/// P(relevant) by judge and text, in a JSON Lines file that outlives the run: a run that was stopped, or one with more
/// statements or queries, judges only what is new.
///
/// The last bits of a probability depend on the texts that share its batch. So that a table comes out the same whether or
/// not its making was stopped, the file also marks where each table began: what a table takes from earlier ones is what
/// stood before its mark, and the batches of the rest are always composed alike.
#[derive(Debug)]
pub struct RelevanceCache {
    judge: String,
    known: HashMap<String, Known>,
    lines: usize,
    new: Vec<Line>,
    journal: files::Journal,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    relevant: f64,
    line: usize,
}

/// A line of the file: P(relevant) of a text, or without a number the mark of a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    relevant: Option<f64>,
    /// Of key and number: a line that was edited is not believed.
    #[serde(default)]
    check: String,
}

impl Line {
    fn new(key: String, relevant: Option<f64>) -> Self {
        let mut line = Self {
            key,
            relevant,
            check: String::new(),
        };
        line.check = line.checksum();
        line
    }

    fn checksum(&self) -> String {
        let mut check = files::checksum_of(format!("{} {:?}", self.key, self.relevant));
        check.truncate(8);
        check
    }
}

/// Where a table begins in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl RelevanceCache {
    /// Opens the file, or makes it; `judge` tells a judge's weights from others.
    pub fn open(path: &Path, judge: &str) -> Result<Self> {
        let (journal, records) = files::Journal::open::<Line>(path)?;
        let lines = records.len();
        let mut known: HashMap<String, Known> = HashMap::new();
        let records = records.into_iter().enumerate();
        for (line, record) in records.filter(|(_, record)| record.check == record.checksum()) {
            let relevant = record.relevant.unwrap_or(f64::NAN);
            known.entry(record.key).or_insert(Known { relevant, line });
        }
        Ok(Self {
            judge: judge.to_string(),
            known,
            lines,
            new: Vec::new(),
            journal,
        })
    }

    /// P(relevant) of a text that the judge reads: its template with a character, a statement and a query.
    pub fn get(&self, text: &str) -> Option<f64> {
        Some(self.known.get(&self.key(text))?.relevant)
    }

    /// The same, if it was known before a table began.
    pub(super) fn get_before(&self, mark: Mark, text: &str) -> Option<f64> {
        let known = self.known.get(&self.key(text))?;
        (known.line < mark.0).then_some(known.relevant)
    }

    /// Remembers a text; it is on disk after the next [`Self::flush`], or once there are many. A text that is known keeps its
    /// number.
    pub fn insert(&mut self, text: &str, relevant: f64) -> Result<()> {
        const MANY: usize = 1024;
        self.push(self.key(text), Some(relevant));
        if self.new.len() < MANY {
            return Ok(());
        }
        self.flush()
    }

    /// Marks where the table of these statements and queries begins, or finds the mark that an earlier run has made.
    pub(super) fn begin(&mut self, statements: &[String], queries: &[String]) -> Result<Mark> {
        let mut text = "table".to_string();
        for part in statements.iter().chain(queries) {
            text += &format!("\n{}\n{part}", part.len());
        }
        let text = format!("{text}\n{}", statements.len());
        let key = self.key(&text);
        self.push(key.clone(), None);
        self.flush()?;
        Ok(Mark(self.known[&key].line))
    }

    fn push(&mut self, key: String, relevant: Option<f64>) {
        if self.known.contains_key(&key) {
            return;
        }
        let known = Known {
            relevant: relevant.unwrap_or(f64::NAN),
            line: self.lines,
        };
        self.known.insert(key.clone(), known);
        self.lines += 1;
        self.new.push(Line::new(key, relevant));
    }

    /// Hands all that is new to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.journal.append(&self.new)?;
        self.new.clear();
        Ok(())
    }

    /// Half of a checksum of both.
    fn key(&self, text: &str) -> String {
        let mut key = files::checksum_of(format!("{}\n{text}", self.judge));
        key.truncate(32);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::{JudgeTask, LocalJudge, Persona};
    use crate::progress::Job;
    use burn::tensor::Device;

    fn judge() -> LocalJudge {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/relevance");
        let source = files::Checkpoint::from(folder).into();
        LocalJudge::load(&source, JudgeTask::Relevance, &Device::flex().into()).unwrap()
    }

    #[test]
    fn what_was_judged_is_read_back_and_only_what_is_new_is_judged() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("cache.jsonl");
        let judge = judge();
        let judged = |name: &str, statements: &[&str], queries: &[&str]| {
            let mut cache = RelevanceCache::open(&path, name).unwrap();
            let persona = Persona::new("Mira", statements.iter().copied());
            let queries: Vec<String> = queries.iter().map(ToString::to_string).collect();
            let job = Job::default();
            let table = judge.relevance(Some(&mut cache), &persona, &queries, &job);
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            (table.unwrap(), lines)
        };
        let statements = ["Mira plays the cello.", "Mira lives in Bergen."];
        let (first, lines) = judged("a", &statements, &["What do you play?"]);
        assert_eq!(lines, 3, "a mark and two texts");
        let (again, lines) = judged(
            "a",
            &statements,
            &["Where do you live?", "What do you play?"],
        );
        assert_eq!((again.rows.len(), lines), (2, 6));
        assert_eq!(again.rows[1], first.rows[0]);
        assert_eq!(
            judged("b", &statements, &["What do you play?"]).1,
            9,
            "another judge"
        );

        // A number that was edited is judged again.
        let mut lines: Vec<Line> = files::read_jsonl(&path).unwrap();
        lines[1].relevant = Some(0.123);
        files::write_jsonl(&path, &lines).unwrap();
        let (judged_again, lines) = judged("a", &statements, &["What do you play?"]);
        assert_eq!((judged_again, lines), (first, 10));
    }

    #[test]
    fn a_table_that_was_stopped_anywhere_comes_out_the_same_to_the_last_bit() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("cache.jsonl");
        let judge = judge();
        let statements =
            (0..40).map(|n| format!("Mira has {n} {}cats.", "very old ".repeat(n % 9)));
        let persona = Persona::new("Mira", statements);
        let queries: Vec<String> = (0..30)
            .map(|n| format!("{}How many have you at {n}?", "Tell me. ".repeat(n % 7)))
            .collect();
        let judged = |queries: &[String]| {
            let mut cache = RelevanceCache::open(&path, "a").unwrap();
            let job = Job::default();
            let table = judge.relevance(Some(&mut cache), &persona, queries, &job);
            (table.unwrap(), std::fs::read_to_string(&path).unwrap())
        };
        judged(&queries[..3]);
        let (table, whole) = judged(&queries);
        let lines = whole.lines().count();
        assert_eq!(lines, 2 + 30 * 40);
        for kept in [123, 300, 777, lines - 1] {
            let some: String = whole.split_inclusive('\n').take(kept).collect();
            std::fs::write(&path, some).unwrap();
            let (again, bytes) = judged(&queries);
            assert_eq!(again, table, "stopped after {kept} lines");
            assert!(bytes == whole, "stopped after {kept} lines");
        }
    }
}
