//! What was judged relevant before, on disk.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Result, files};

/// P(relevant) by judge and text, in a JSON Lines file that outlives the run: a run that was stopped, or one with more
/// statements or queries, judges only what is new.
#[derive(Debug)]
pub struct RelevanceCache {
    judge: String,
    known: HashMap<String, f64>,
    new: Vec<Judged>,
    journal: files::Journal,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Judged {
    key: String,
    relevant: f64,
}

impl RelevanceCache {
    /// Opens the file, or makes it; `judge` tells a judge's weights from others.
    pub fn open(path: &Path, judge: &str) -> Result<Self> {
        let (journal, records) = files::Journal::open::<Judged>(path)?;
        let known = records
            .into_iter()
            .map(|judged| (judged.key, judged.relevant));
        Ok(Self {
            judge: judge.to_string(),
            known: known.collect(),
            new: Vec::new(),
            journal,
        })
    }

    /// P(relevant) of a text that the judge reads: its template with a character, a statement and a query.
    pub fn get(&self, text: &str) -> Option<f64> {
        self.known.get(&self.key(text)).copied()
    }

    /// Remembers a text; it is on disk after the next [`Self::flush`], or once there are many.
    pub fn insert(&mut self, text: &str, relevant: f64) -> Result<()> {
        const MANY: usize = 1024;
        let key = self.key(text);
        self.known.insert(key.clone(), relevant);
        self.new.push(Judged { key, relevant });
        if self.new.len() < MANY {
            return Ok(());
        }
        self.flush()
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

    #[test]
    fn what_was_judged_is_read_back_and_only_what_is_new_is_judged() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("cache.jsonl");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
        let judge = LocalJudge::load(
            &crate::files::Checkpoint::from(folder).into(),
            JudgeTask::Relevance,
            &Device::flex().into(),
        )
        .unwrap();
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
        assert_eq!(lines, 2);
        let (again, lines) = judged(
            "a",
            &statements,
            &["Where do you live?", "What do you play?"],
        );
        assert_eq!((again.rows.len(), lines), (2, 4));
        assert_eq!(again.rows[1], first.rows[0]);
        assert_eq!(
            judged("b", &statements, &["What do you play?"]).1,
            6,
            "another judge"
        );

        // What the file says counts.
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<Judged> = files::read_jsonl(&path).unwrap();
        lines[0].relevant = 0.123;
        files::write_jsonl(&path, &lines).unwrap();
        assert_ne!(std::fs::read_to_string(&path).unwrap(), text);
        let (changed, _) = judged("a", &statements, &["What do you play?"]);
        assert!(changed.rows[0].contains(&0.123), "{changed:?}");
    }
}
