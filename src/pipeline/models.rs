//! The models that a run uses, and what it starts from.

use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::files::Checkpoint;
use crate::persona::{JudgeFormat, JudgeSource};
use crate::pipeline::page::Page;
use crate::teacher::Teacher;

/// The two judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judges {
    /// Whether a statement matters to a query.
    pub relevance: JudgeSource,
    /// Whether a reply follows from a statement.
    pub nli: JudgeSource,
}

/// What a run starts from, unless its settings name something else.
pub struct Sources {
    /// The page about the character; data that was imported stands for its own.
    pub page: Option<Page>,
    /// Who teaches if the settings choose [`TeacherChoice::Given`](crate::pipeline::TeacherChoice::Given).
    pub teacher: Box<dyn Teacher>,
    /// The judges that reward replies of the default model.
    pub judges: Judges,
    /// The judges that grade, which took no part in the reward.
    pub graders: Judges,
    /// The model that answers by default.
    pub base: Checkpoint,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("page", &self.page)
            .field("teacher", &self.teacher.version())
            .field("judges", &self.judges)
            .field("graders", &self.graders)
            .field("base", &self.base)
            .finish()
    }
}

/// What identifies a judge: its model and, where they are not the model's own, how it is asked and answers, and its precision.
pub(super) fn identity(judge: &JudgeSource) -> Result<Value> {
    let hash = judge.checkpoint.hash()?;
    let precision = judge.precision;
    let is_plain = precision == Default::default();
    let format = (judge.format != JudgeFormat::default()).then_some(&judge.format);
    Ok(match (format, is_plain) {
        (None, true) => json!(hash),
        (Some(format), true) => json!([hash, format]),
        (format, false) => json!([hash, format, precision]),
    })
}

/// What records tell of a judge; a folder is named from the output folder.
pub(super) fn about(judge: &JudgeSource, output: &Path) -> Value {
    let name = judge.checkpoint.reference(output);
    let mut about = json!({"name": name, "precision": judge.precision});
    if let (Value::Object(about), Value::Object(format)) = (&mut about, json!(judge.format)) {
        about.extend(format);
    }
    about
}
