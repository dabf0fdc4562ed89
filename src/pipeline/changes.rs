//! Which stages are made again, and why: told before the first of them begins.

use std::collections::BTreeSet;
use std::fmt;

use crate::Result;
use crate::pipeline::record::{InputFile, Known, StageSpec};

/// Stages that are made again for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Why, each in a few words: `page changed`, `seed 42 → 43`, `pairs.jsonl edited by hand`.
    pub causes: Vec<String>,
    /// The stages, in their order.
    pub stages: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { causes, stages } = self;
        write!(f, "{}: {} again", causes.join(", "), stages.join(", "))
    }
}

/// The stages that would be made again, with `anew` all that were ever made, together with what follows from them.
///
/// `specs` are in the order in which the stages run. A stage that goes on where it stopped is not among them: it was told
/// when it began.
///
/// # Errors
///
/// A file that cannot be read.
pub fn changes(specs: &[StageSpec], anew: bool) -> Result<Vec<Change>> {
    let mut causes = Causes(Vec::new());
    let mut fates: Vec<Fate> = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for spec_idx in 0..specs.len() {
        let fate = fate(specs, spec_idx, &fates, &mut causes, anew)?;
        if fate.was_made && !fate.causes.is_empty() {
            join(&mut groups, &fate.causes, spec_idx);
        }
        fates.push(fate);
    }
    let change = |group: Group| Change {
        causes: group
            .causes
            .iter()
            .map(|&idx| causes.0[idx].clone())
            .collect(),
        stages: group
            .stages
            .iter()
            .map(|&idx| specs[idx].name.clone())
            .collect(),
    };
    Ok(groups.into_iter().map(change).collect())
}

/// Causes in the order in which they were found, each once.
struct Causes(Vec<String>);

impl Causes {
    fn idx_of(&mut self, cause: String) -> usize {
        let known = self.0.iter().position(|known| *known == cause);
        known.unwrap_or_else(|| {
            self.0.push(cause);
            self.0.len() - 1
        })
    }
}

/// Stages that share causes, by their places.
struct Group {
    causes: BTreeSet<usize>,
    stages: BTreeSet<usize>,
}

/// What becomes of a stage.
struct Fate {
    /// Why it is made again; none if it is new or goes on.
    causes: BTreeSet<usize>,
    /// Whether it has something to do, so that what reads its files follows.
    runs: bool,
    /// Whether it was begun before.
    was_made: bool,
}

fn fate(
    specs: &[StageSpec],
    spec_idx: usize,
    before: &[Fate],
    causes: &mut Causes,
    anew: bool,
) -> Result<Fate> {
    let spec = &specs[spec_idx];
    let look = spec.look()?;
    let mut own = look.settings.clone();
    match look.record {
        Known::Record(_) if anew => own.push("asked for".into()),
        Known::Damaged => own.push(format!("record of {} damaged", spec.name)),
        _ => {}
    }
    let mut fate = Fate {
        causes: BTreeSet::new(),
        runs: !look.is_complete(),
        was_made: !matches!(look.record, Known::Nothing),
    };
    // Of files that an earlier run has made since, the first is why the others are others.
    let mut first: Option<(usize, &InputFile)> = None;
    for (file_idx, file) in spec.files.iter().enumerate() {
        let producer = producer(specs, spec_idx, file);
        match producer.map(|producer_idx| (producer_idx, &before[producer_idx])) {
            Some((_, before)) if before.runs => {
                fate.runs = true;
                fate.causes.extend(&before.causes);
            }
            _ if !look.files.contains(&file_idx) => {}
            Some((producer_idx, _)) if first.is_none_or(|(first, _)| producer_idx < first) => {
                first = Some((producer_idx, file));
            }
            Some(_) => {}
            None => own.push(format!("{} changed", file.name)),
        }
    }
    if let Some((producer_idx, file)) = first {
        own.push(changed(file, &specs[producer_idx])?);
    }
    // What is made again for another reason need not be whole.
    if own.is_empty() && !fate.runs {
        own = look.damaged;
    }
    fate.runs |= !own.is_empty();
    fate.causes
        .extend(own.into_iter().map(|cause| causes.idx_of(cause)));
    Ok(fate)
}

/// The earlier stage that writes a file.
fn producer(specs: &[StageSpec], before: usize, file: &InputFile) -> Option<usize> {
    let writes = |spec: &StageSpec| spec.writes_to(&file.path);
    specs[..before].iter().position(writes)
}

/// Why a file is not what it was, although no stage is about to make it.
fn changed(file: &InputFile, producer: &StageSpec) -> Result<String> {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let is_edited = producer.is_edited(&file.path)?;
    let how = if is_edited {
        "edited by hand"
    } else {
        "changed"
    };
    Ok(format!("{name} {how}"))
}

/// Puts a stage to those with which it shares a cause.
fn join(groups: &mut Vec<Group>, causes: &BTreeSet<usize>, spec_idx: usize) {
    let (together, others): (Vec<Group>, Vec<Group>) = std::mem::take(groups)
        .into_iter()
        .partition(|group| !group.causes.is_disjoint(causes));
    let mut joined = Group {
        causes: causes.clone(),
        stages: BTreeSet::from([spec_idx]),
    };
    for group in together {
        joined.causes.extend(group.causes);
        joined.stages.extend(group.stages);
    }
    *groups = others;
    groups.push(joined);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::record::{Output, Stage};
    use crate::progress::Job;
    use serde_json::json;
    use std::fs;
    use std::path::Path;

    /// Statements, queries from them, pairs from both; and a score of the pairs.
    fn specs(folder: &Path, page: u64, seed: u64, rank: u64) -> Vec<StageSpec> {
        let spec = |name: &str| StageSpec::new(name, folder.join(format!("{name}.json")));
        let file = |name: &str| folder.join(format!("{name}.jsonl"));
        vec![
            spec("statements")
                .with_settings(json!({"page": format!("{page:064}")}))
                .writes(Output::data(file("statements"))),
            spec("queries")
                .with_settings(json!({"seed": seed}))
                .reads("statements", file("statements"))
                .writes(Output::data(file("queries"))),
            spec("pairs")
                .with_settings(json!({"seed": seed}))
                .reads("queries", file("queries"))
                .writes(Output::data(file("pairs"))),
            spec("dpo")
                .with_settings(json!({"lora": {"rank": rank}}))
                .reads("pairs", file("pairs"))
                .writes(Output::result(file("dpo"))),
        ]
    }

    fn make(specs: Vec<StageSpec>) {
        for spec in specs {
            let text = format!("{spec:?}");
            let outputs = spec.outputs.clone();
            let mut stage = Stage::open(spec, false, &Job::default()).unwrap();
            if !stage.is_complete() {
                for output in outputs {
                    fs::write(output.path(), &text).unwrap();
                }
                stage.complete().unwrap();
            }
        }
    }

    fn told(specs: &[StageSpec], anew: bool) -> Vec<String> {
        let changes = changes(specs, anew).unwrap();
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_follows_from_a_change_is_told_once_with_its_causes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(
            told(&specs(folder, 1, 1, 1), false).is_empty(),
            "never made"
        );
        make(specs(folder, 1, 1, 1));
        assert!(told(&specs(folder, 1, 1, 1), false).is_empty());
        for ((page, seed, rank), wanted) in [
            (
                (2, 1, 1),
                &["page changed: statements, queries, pairs, dpo again"][..],
            ),
            ((1, 2, 1), &["seed 1 → 2: queries, pairs, dpo again"]),
            ((1, 1, 2), &["lora_rank 1 → 2: dpo again"]),
            (
                (2, 2, 1),
                &["page changed, seed 1 → 2: statements, queries, pairs, dpo again"],
            ),
        ] {
            assert_eq!(told(&specs(folder, page, seed, rank), false), wanted);
        }
        assert_eq!(
            told(&specs(folder, 1, 1, 1), true),
            ["asked for: statements, queries, pairs, dpo again"]
        );
    }

    #[test]
    fn edits_and_damage_are_told_apart_and_a_stage_that_goes_on_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        make(specs(folder, 1, 1, 1));
        let dpo = fs::read(folder.join("dpo.jsonl")).unwrap();
        fs::write(folder.join("dpo.jsonl"), "x").unwrap();
        assert_eq!(
            told(&specs(folder, 1, 1, 1), false),
            ["dpo.jsonl damaged: dpo again"]
        );
        fs::write(folder.join("dpo.jsonl"), dpo).unwrap();
        fs::write(folder.join("queries.jsonl"), "x").unwrap();
        let edited = ["queries.jsonl edited by hand: pairs, dpo again"];
        assert_eq!(told(&specs(folder, 1, 1, 1), false), edited);

        // Stopped between what a change makes again: told by the first file that is another.
        make(specs(folder, 1, 1, 1));
        make(specs(folder, 2, 1, 1)[..2].to_vec());
        fs::remove_file(folder.join("dpo.jsonl")).unwrap();
        assert_eq!(
            told(&specs(folder, 2, 1, 1), false),
            ["queries.jsonl changed: pairs, dpo again"]
        );
        // Stopped while a stage was made: told before.
        let pairs = specs(folder, 2, 1, 1).swap_remove(2);
        Stage::open(pairs, false, &Job::default()).unwrap();
        assert!(told(&specs(folder, 2, 1, 1), false).is_empty());
    }
}
