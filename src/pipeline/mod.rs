//! From a page to an adapter: the run, its stages, and the records that say which files are still valid.
//!
//! [`train`] runs all stages and [`teach`] those that need a teacher; `stages/` has one file for each. A stage reads files
//! and writes files, and its [`record`] says what they were made from, so a run redoes what an edit has changed and
//! resumes where an earlier one stopped. [`DpoRun`] and [`FineTune`] are the trainings themselves, which `apc dpo` and
//! `apc finetune` run, too.
//!
//! This module names no embedded model: the caller hands in page, teacher, judges and base as [`Sources`]. It reads no
//! arguments, and no message names a flag: [`Error::Setting`](crate::Error::Setting) has the name of the setting.

mod changes;
mod dpo;
mod finetune;
mod layout;
mod lock;
mod models;
mod page;
pub mod record;
mod replies;
mod report;
mod run;
mod settings;
mod stages;
mod state;
mod train;

pub use changes::{Change, changes};
pub use dpo::{DpoRun, DpoSummary, DpoTrained, DpoTraining, MadeWith};
pub use finetune::{Classes, EncodeTexts, FineTune, FineTuneConfig, FineTuned};
pub use lock::Lock;
pub use models::{Judges, Sources};
pub use page::{Page, alike, check_name, find_page};
pub use record::{Output, Stage, StageSpec};
pub use replies::{SampledReplies, Sampler, sample_replies};
pub use report::{Compared, Report, Sample, report, write_statements};
pub use settings::{JudgeSettings, ModelChoice, ReplySettings, Scale, TeacherChoice, TrainConfig};
pub use settings::{LARGEST_COUNT, LARGEST_SCALE};
pub use stages::{Evaluation, Interval, bootstrap_interval, is_too_long};
pub use state::{
    CharacterState, TrainedWith, UsedJudge, opening_of, state_of, trained_characters, trained_with,
};
pub use train::{TeachSummary, TrainSummary, plan, teach, train};
