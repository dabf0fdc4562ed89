//! Where the files of a character are.

use std::path::{Path, PathBuf};

/// The folders of a character below an output folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// What the stages write, a record a line; their records are in `stages/`.
    pub(super) data: PathBuf,
    /// Judges and the adapter.
    pub(super) models: PathBuf,
}

impl Layout {
    pub(super) fn new(output: &Path, character: &str) -> Self {
        Self {
            data: output.join("data").join(character),
            models: output.join("models").join(character),
        }
    }

    /// The record of a stage.
    pub(super) fn record(&self, stage: &str) -> PathBuf {
        self.data.join("stages").join(format!("{stage}.json"))
    }

    /// What a run holds while it works.
    pub(super) fn lock(&self) -> PathBuf {
        self.data.join("stages").join("lock")
    }

    /// A file of the data, by its name without `.jsonl`.
    pub(super) fn jsonl(&self, name: &str) -> PathBuf {
        self.data.join(format!("{name}.jsonl"))
    }

    pub(super) fn statements(&self) -> PathBuf {
        self.jsonl("statements")
    }

    pub(super) fn queries(&self) -> PathBuf {
        self.jsonl("queries")
    }

    pub(super) fn held_out_queries(&self) -> PathBuf {
        self.jsonl("held-out-queries")
    }

    pub(super) fn replies(&self) -> PathBuf {
        self.jsonl("replies")
    }

    pub(super) fn pairs(&self) -> PathBuf {
        self.jsonl("pairs")
    }

    /// A chat model's answers.
    pub(super) fn answers(&self) -> PathBuf {
        self.jsonl("answers")
    }

    /// Answers that could not be used.
    pub(super) fn rejected(&self) -> PathBuf {
        self.jsonl("rejected")
    }

    pub(super) fn relevance_cache(&self) -> PathBuf {
        self.jsonl("relevance-cache")
    }

    /// What was imported.
    pub(super) fn imported(&self) -> PathBuf {
        self.data.join("imported")
    }

    /// What DPO tells of itself.
    pub(super) fn dpo_summary(&self) -> PathBuf {
        self.data.join("dpo.json")
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.data.join("summary.json")
    }

    pub(super) fn adapter(&self) -> PathBuf {
        self.models.join("adapter")
    }
}
