//! Records of stages: what a stage's files were made from, and when they can be used as they are.
//!
//! A record is written before a stage begins and again when its files are whole. It holds the hashes of what the stage
//! read and of what it wrote:
//!
//! - Other inputs than those recorded: the stage is made again. What of its files is as recorded is removed; what is
//!   not, somebody has edited or put there, and it is moved aside.
//! - The same inputs, not whole: the stage goes on where it stopped, unless what it goes on from was edited meanwhile.
//! - The same inputs, whole: nothing is done. [`Output::data`] that was edited since is used as it is; an
//!   [`Output::result`] that is not as recorded is damaged, and the stage is made again.

mod output;
mod spec;
mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use output::Output;
pub(in crate::pipeline) use output::{open_steps, seal_of};
pub(in crate::pipeline) use spec::InputFile;
pub use spec::StageSpec;
pub(in crate::pipeline) use stored::{Known, Record};

use crate::progress::Job;
use crate::{Error, Result, files};

/// A stage under way or whole.
#[derive(Debug)]
pub struct Stage {
    spec: StageSpec,
    inputs: Map<String, Value>,
    complete: bool,
}

impl Stage {
    /// Looks at what is there of a stage and makes room for what is to be made, with `anew` all of it; see the
    /// [module](self).
    ///
    /// # Errors
    ///
    /// A file that the stage reads and that is not there; what cannot be read, moved, removed or written.
    pub fn open(spec: StageSpec, anew: bool, job: &Job) -> Result<Self> {
        let look = spec.look()?;
        let inputs = spec.inputs()?;
        let complete = !anew && look.is_current();
        if !complete && (anew || !look.is_begun()) {
            spec.clear(&look.record, job)?;
        }
        let stage = Self {
            spec,
            inputs,
            complete,
        };
        if !complete {
            stage.write(BTreeMap::new())?;
        }
        Ok(stage)
    }

    /// Whether there is nothing left to do.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says that the files are whole.
    pub fn complete(&mut self) -> Result<()> {
        let mut outputs = BTreeMap::new();
        for output in &self.spec.outputs {
            output.sweep()?;
            outputs.extend(output.hashes()?);
        }
        self.complete = true;
        self.write(outputs)?;
        self.spec.remove_seals()
    }

    /// Writes records to one of the files, which people may edit. What somebody has put there since a run was stopped
    /// before it was whole is moved aside.
    pub(in crate::pipeline) fn write_jsonl<T: Serialize>(
        &self,
        path: &Path,
        records: &[T],
        job: &Job,
    ) -> Result<()> {
        let text = files::to_lines(path, records)?;
        if path.exists() && files::read_text(path).ok().as_ref() != Some(&text) {
            tell_aside(path, job)?;
        }
        files::write(path, text.as_bytes())
    }

    /// Opens one of the files that grows record by record and that nobody edits. What is not as it was left is moved aside.
    pub(in crate::pipeline) fn journal<T: DeserializeOwned>(
        &self,
        path: &Path,
        job: &Job,
    ) -> Result<(files::Journal, Vec<T>)> {
        let folder = self.spec.record.parent().unwrap_or(Path::new("."));
        let seal = output::seal_of(path, folder);
        if let Some(opened) = files::Journal::open_sealed(path, &seal)? {
            return Ok(opened);
        }
        if path.exists() {
            tell_aside(path, job)?;
        }
        if seal.is_file() {
            fs::remove_file(&seal).map_err(Error::io("remove", &seal))?;
        }
        let opened = files::Journal::open_sealed(path, &seal)?;
        opened.ok_or_else(|| {
            Error::invalid(
                path,
                "another program is writing to it; stop it and run again",
            )
        })
    }

    fn write(&self, outputs: BTreeMap<String, String>) -> Result<()> {
        files::write_json(
            &self.spec.record,
            &Record {
                version: env!("CARGO_PKG_VERSION").to_string(),
                complete: self.complete,
                inputs: self.inputs.clone(),
                about: self.spec.about.clone(),
                outputs,
            },
        )
    }
}

/// Moves aside what is not as the program made it, and says so.
fn tell_aside(path: &Path, job: &Job) -> Result<()> {
    let aside = output::move_aside(path)?;
    job.progress.note(&format!(
        "{} is not as the program made it: moved to {}",
        path.display(),
        aside.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::spec::{OLDER, differences};
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn spec(&self, seed: u64) -> StageSpec {
            StageSpec::new("a", self.path("a.json"))
                .with_settings(json!({"seed": seed, "page": "0".repeat(64)}))
                .writes(Output::data(self.path("a.jsonl")))
                .writes(Output::result(self.path("b")))
                .writes(Output::work(self.path("work")))
        }

        fn open(&self, seed: u64) -> Stage {
            Stage::open(self.spec(seed), false, &Job::default()).unwrap()
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.path(name)).ok()
        }

        /// Makes the stage with these texts.
        fn make(&self, seed: u64) {
            let mut stage = self.open(seed);
            assert!(!stage.is_complete());
            self.write("a.jsonl", "made\n");
            self.write("b/weights", "made");
            self.write("work/checkpoint/model-1.bpk", "made");
            stage.complete().unwrap();
        }
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_no_part_of_a_result() {
        let folder = Folder::new();
        folder.open(1);
        folder.write("b/.tmpX1", "half");
        folder.make(1);
        assert!(folder.read("b/.tmpX1").is_none());
        assert!(
            folder
                .read("a.json")
                .is_some_and(|record| !record.contains(".tmp"))
        );
        // Nor does one that lies there later make the stage again.
        folder.write("b/.tmpX2", "half");
        assert!(folder.open(1).is_complete());
    }

    #[test]
    fn a_stage_is_skipped_when_whole_goes_on_when_begun_and_is_made_again_when_its_inputs_changed()
    {
        let folder = Folder::new();
        folder.make(1);
        assert!(folder.open(1).is_complete());
        fs::remove_dir_all(folder.path("work")).unwrap();
        assert!(
            folder.open(1).is_complete(),
            "checkpoints have done their part"
        );

        let told = folder.spec(2).changed_settings().unwrap();
        assert_eq!(told, ["seed 1 → 2"]);
        assert!(!folder.open(2).is_complete());
        assert_eq!(
            (folder.read("a.jsonl"), folder.read("b/weights")),
            (None, None)
        );
        folder.write("a.jsonl", "half");
        assert!(!folder.open(2).is_complete());
        assert_eq!(
            folder.read("a.jsonl").unwrap(),
            "half",
            "begun, so it goes on"
        );
        assert!(!folder.open(1).is_complete());
        assert_eq!(folder.read("a.jsonl"), None, "begun from something else");
    }

    #[test]
    fn an_edit_is_used_while_the_inputs_are_the_same_and_moved_aside_when_the_stage_is_made_again()
    {
        let folder = Folder::new();
        folder.make(1);
        folder.write("a.jsonl", "edited\n");
        assert!(folder.open(1).is_complete());
        assert_eq!(folder.read("a.jsonl").unwrap(), "edited\n");
        for (seed, aside) in [(2, "a.edited-1.jsonl"), (3, "a.edited-2.jsonl")] {
            folder.make(seed);
            assert_eq!(folder.read(aside).unwrap(), "edited\n");
            folder.write("a.jsonl", "edited\n");
        }
    }

    #[test]
    fn a_damaged_result_a_missing_file_and_a_damaged_record_are_made_again() {
        let folder = Folder::new();
        folder.make(1);
        folder.write("b/weights", "cut");
        assert_eq!(
            folder.spec(1).look().unwrap().damaged,
            ["b/weights damaged"]
        );
        folder.make(1);
        assert_eq!(folder.read("b.edited-1/weights").unwrap(), "cut");
        assert_eq!(folder.read("a.edited-1.jsonl"), None, "it was as made");

        fs::remove_file(folder.path("b/weights")).unwrap();
        folder.make(1);
        folder.write("a.jsonl", "");
        folder.make(1);
        folder.write("a.json", "{\"comp");
        folder.make(1);
        assert_eq!(folder.read("a.edited-2.jsonl").unwrap(), "made\n");
        assert!(folder.open(1).is_complete());
    }

    #[test]
    fn what_the_program_did_not_make_is_never_removed() {
        let folder = Folder::new();
        folder.write("a.jsonl", "mine");
        folder.write("work/notes", "mine");
        folder.make(1);
        assert_eq!(folder.read("a.edited-1.jsonl").unwrap(), "mine");
        assert_eq!(folder.read("work.edited-1/notes").unwrap(), "mine");

        folder.write("b/notes", "mine");
        assert!(folder.open(1).is_complete(), "it does no harm there");
        Stage::open(folder.spec(1), true, &Job::default()).unwrap();
        assert_eq!(folder.read("b.edited-1/notes").unwrap(), "mine");
        assert_eq!(folder.read("a.jsonl"), None);
    }

    #[test]
    fn among_checkpoints_only_what_a_training_keeps_is_removed() {
        let folder = Folder::new();
        folder.make(1);
        for name in [
            "work/notes",
            "work/checkpoint/mine.bpk",
            "work/metrics.jsonl",
        ] {
            folder.write(name, "mine");
        }
        Stage::open(folder.spec(1), true, &Job::default()).unwrap();
        assert_eq!(folder.read("work.edited-1/notes").unwrap(), "mine");
        assert_eq!(
            folder.read("work.edited-1/checkpoint/mine.bpk").unwrap(),
            "mine"
        );
        assert!(!folder.path("work").exists());
        assert!(!folder.path("work.edited-1/metrics.jsonl").exists());
        assert!(!folder.path("work.edited-1/checkpoint/model-1.bpk").exists());
    }

    #[test]
    fn a_half_made_file_goes_on_as_it_was_left_and_is_moved_aside_if_it_was_edited() {
        let folder = Folder::new();
        let (path, job) = (folder.path("a.jsonl"), Job::default());
        let journal = |seed| folder.open(seed).journal::<u32>(&path, &job).unwrap();
        journal(1).0.append(&[1, 2]).unwrap();
        let (mut goes_on, done) = journal(1);
        assert_eq!(done, [1, 2]);
        goes_on.append(&[3]).unwrap();
        folder.write("a.jsonl", "1\n2\n9\n");
        let (mut anew, done) = journal(1);
        assert_eq!(
            (done, folder.read("a.edited-1.jsonl").unwrap()),
            (vec![], "1\n2\n9\n".into())
        );
        anew.append(&[4]).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(journal(1).1.is_empty(), "it was removed, so it begins anew");
        journal(1).0.append(&[4]).unwrap();
        // With other settings what is half made goes, but not what somebody has put there.
        folder.open(2);
        assert!(!path.exists() && !folder.path("a.edited-2.jsonl").exists());
        folder.write("b/weights", "mine");
        folder.open(3);
        assert_eq!(folder.read("b.edited-1/weights").unwrap(), "mine");

        let stage = folder.open(3);
        let (journal, _) = stage.journal::<u32>(&path, &job).unwrap();
        journal.replace(&[7]).unwrap();
        let mut stage = folder.open(3);
        assert_eq!(stage.journal::<u32>(&path, &job).unwrap().1, [7]);
        folder.write("b/weights", "made");
        stage.complete().unwrap();
        assert!(folder.open(3).is_complete());
        assert!(!folder.path("a.jsonl.seal.json").exists());
    }

    #[test]
    fn an_edit_before_a_stopped_stage_is_whole_is_moved_aside() {
        let folder = Folder::new();
        let write = |records: &[u32]| {
            let stage = folder.open(1);
            let path = folder.path("a.jsonl");
            stage.write_jsonl(&path, records, &Job::default()).unwrap();
        };
        write(&[1]);
        write(&[1]);
        assert!(!folder.path("a.edited-1.jsonl").exists(), "the same again");
        folder.write("a.jsonl", "2\n");
        write(&[1]);
        assert_eq!(folder.read("a.edited-1.jsonl").unwrap(), "2\n");
        assert_eq!(folder.read("a.jsonl").unwrap(), "1\n");
    }

    #[test]
    fn records_have_the_version_and_hashes_and_no_absolute_path() {
        let folder = Folder::new();
        folder.make(1);
        let record: Value = files::read_json(&folder.path("a.json")).unwrap();
        assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(record["outputs"]["b/weights"], files::checksum_of("made"));
        assert_eq!(record["outputs"].as_object().unwrap().len(), 2);
        let text = folder.read("a.json").unwrap();
        assert!(!text.contains(folder.0.path().to_str().unwrap()), "{text}");
    }

    #[test]
    fn differences_are_told_field_by_field() {
        let mut told = Vec::new();
        let old = json!({"rank": 2, "alpha": 2.0, "names": ["a"]});
        let new = json!({"rank": 3, "alpha": 2.0, "names": ["a", "b"]});
        differences("lora", Some(&old), &new, &mut told);
        differences(
            "page",
            Some(&json!("0".repeat(64))),
            &json!("1".repeat(64)),
            &mut told,
        );
        differences("dtype", None, &json!("float32"), &mut told);
        differences("shuffle", None, &json!(true), &mut told);
        let wanted = ["lora_rank 2 → 3", "lora_names changed", "page changed"];
        assert_eq!(told[..3], wanted);
        assert_eq!(told[3..], [OLDER]);
    }
}
