//! Answers of a teacher that could not be used: kept aside, counted, and an error if they are many.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::pipeline::run::Run;
use crate::teacher::{Outcome, Rejected};
use crate::{Error, Result, files};

/// A task whose answers could not be used, with its stage.
#[derive(Serialize, Deserialize)]
struct Aside {
    stage: String,
    #[serde(flatten)]
    rejected: Rejected,
}

/// Keeps what could not be used for a stage in the place of what was kept for it before, and returns the file.
fn set_aside(run: &Run<'_>, stage: &str, rejected: Vec<Rejected>) -> Result<PathBuf> {
    let path = run.layout.rejected();
    let mut aside: Vec<Aside> = if path.is_file() {
        files::read_jsonl(&path)?
    } else {
        Vec::new()
    };
    aside.retain(|other| other.stage != stage);
    aside.extend(rejected.into_iter().map(|rejected| Aside {
        stage: stage.to_string(),
        rejected,
    }));
    if path.is_file() || !aside.is_empty() {
        files::write_jsonl(&path, &aside)?;
    }
    Ok(path)
}

/// Ends what a teacher did for a stage since `started`; keeps aside what it could not use, and what was `unread`.
///
/// # Errors
///
/// More than a tenth of the answers that could not be used.
pub(super) fn settle(
    run: &mut Run<'_>,
    stage: &str,
    started: Instant,
    unread: Vec<Rejected>,
) -> Result<()> {
    run.taught += started.elapsed();
    let Outcome {
        asked,
        rejected,
        dropped,
    } = run.teacher.take_outcome();
    let count = rejected.len();
    let n_dropped = dropped.len();
    let aside = rejected.into_iter().chain(dropped).chain(unread).collect();
    let path = set_aside(run, stage, aside)?;
    if count * 10 > asked {
        return Err(Error::Teacher(format!(
            "{count} of {asked} answers for the stage {stage} could not be used; {} tells why. Try another teacher, or \
             remove {} to ask the same one again",
            path.display(),
            run.layout.answers().display(),
        )));
    }
    if count > 0 {
        run.job.progress.note(&format!(
            "{count} of {asked} answers for the stage {stage} could not be used; they are in {}",
            path.display()
        ));
    }
    if n_dropped > 0 {
        run.job.progress.note(&format!(
            "{n_dropped} sentences for the stage {stage} cannot be used and are left out; each is with its reason in {}",
            path.display()
        ));
    }
    Ok(())
}
