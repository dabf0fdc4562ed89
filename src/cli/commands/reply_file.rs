//! `apc score --input`: the replies of a file, a line each.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cli::args::judges::{ChosenJudge, ChosenJudges, JudgeIdentity};
use crate::cli::args::persona::check_length;
use crate::cli::commands::score_record::{ScoreRecord, ScoredWith};
use crate::files::Journal;
use crate::persona::{Judge, Persona, Score, Scorer};
use crate::progress::Job;
use crate::{Error, Result, files};

/// A file of replies to be scored.
pub(super) struct ReplyFile<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    /// Whose replies they are where a line does not tell.
    pub(super) character: Option<&'a str>,
    /// Whether to begin anew where the output has scores.
    pub(super) force: bool,
}

/// What replies are scored by.
pub(super) struct ScoredBy<'a> {
    /// The statements of a character by name.
    pub(super) statements: &'a dyn Fn(&str) -> Result<Vec<String>>,
    /// The judges of a persona, not yet loaded.
    pub(super) choose: &'a dyn Fn(&Persona) -> Result<ChosenJudges>,
    /// Loads a judge.
    pub(super) load: &'a dyn Fn(&ChosenJudge) -> Result<Judge>,
}

/// A line of the input; what else it has comes back beside the scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reply {
    query: String,
    response: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    character: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    statements: Option<Vec<String>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A line of the output.
#[derive(Serialize, Deserialize)]
struct Scored {
    #[serde(flatten)]
    reply: Reply,
    apc: Score,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    replies: usize,
    /// Those that an earlier run had scored.
    scored_before: usize,
    mean_apc: f64,
    mean_delta_apc: f64,
    output: PathBuf,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "replies    {}, {} of them scored before\nmean APC   {:.3}\nmean ΔAPC  {:.3}\nscores     {}",
            self.replies,
            self.scored_before,
            self.mean_apc,
            self.mean_delta_apc,
            self.output.display()
        )
    }
}

/// A character whose replies are scored.
struct Scoring {
    /// With its own statements; none if each line has its own.
    persona: Option<Persona>,
    judges: ChosenJudges,
}

impl ReplyFile<'_> {
    /// Scores every reply that the output has not yet.
    pub(super) fn score(&self, by: &ScoredBy<'_>, job: &Job) -> Result<Summary> {
        self.check_paths()?;
        let replies = self.read()?;
        let characters = self.characters(&replies, by)?;
        let _lock = self.lock()?;
        let (mut journal, mut scores) = self.open(&replies, &self.record(&characters)?)?;
        let scored_before = scores.len();
        let task = job.progress.task("score", replies.len(), "replies");
        task.advance(scored_before);
        let mut loaded: Vec<(ChosenJudge, Judge)> = Vec::new();
        let mut scorers: HashMap<&str, Scorer> = HashMap::new();
        let quiet = job.quiet();
        for reply in &replies[scored_before..] {
            job.check()?;
            let name = self.name(reply);
            let Scoring { persona, judges } = &characters[name];
            let own = reply.statements.as_ref();
            let own = own.map(|own| Persona::new(name, own.iter().cloned()));
            let persona = own.as_ref().or(persona.as_ref());
            let persona = persona.expect("a line without statements has those of its character");
            if !scorers.contains_key(name) {
                // Most characters share their judges.
                let mut judge = |chosen: &ChosenJudge| -> Result<Judge> {
                    if let Some((_, judge)) = loaded.iter().find(|(known, _)| known == chosen) {
                        return Ok(judge.clone());
                    }
                    let judge = (by.load)(chosen)?;
                    loaded.push((chosen.clone(), judge.clone()));
                    Ok(judge)
                };
                let (relevance, nli) = (judge(&judges.relevance)?, judge(&judges.nli)?);
                scorers.insert(name, Scorer { relevance, nli });
            }
            let texts = [reply.response.as_str()];
            let mut found = scorers[name].score_all(persona, &reply.query, &texts, &quiet)?;
            let apc = found.remove(0);
            scores.push((apc.apc, apc.delta_apc));
            let reply = reply.clone();
            journal.append(&[Scored { reply, apc }])?;
            task.advance(1);
        }
        let mean = |of: fn(&(f64, f64)) -> f64| {
            scores.iter().map(of).sum::<f64>() / scores.len().max(1) as f64
        };
        Ok(Summary {
            replies: replies.len(),
            scored_before,
            mean_apc: mean(|score| score.0),
            mean_delta_apc: mean(|score| score.1),
            output: self.output.to_path_buf(),
        })
    }

    /// Refuses an output that is the input, a folder or a pipe, or a file that no run of this wrote.
    fn check_paths(&self) -> Result<()> {
        let refused = |reason: &str| {
            let output = self.output.display();
            Err(Error::Usage(format!("--output {output} {reason}")))
        };
        let there = fs::metadata(self.output).ok();
        let place = |path: &Path| path.canonicalize().ok();
        let input = place(self.input);
        if self.output.is_dir() {
            return refused("is a folder; with --input it names the file of the scores");
        }
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return refused("is not a file that scores can be kept in; name another file");
        }
        if input.is_some() && place(self.output) == input {
            return refused("is the file of the replies; name another file");
        }
        if input.is_some() && place(&ScoreRecord::path(self.output)) == input {
            return refused(
                "would write its record over the file of the replies; name another file",
            );
        }
        // A file that somebody else wrote is neither read nor mended.
        let has_text = there.is_some_and(|there| there.len() > 0);
        if has_text && !ScoreRecord::path(self.output).is_file() {
            let reason = "has no record beside it of what it was scored with; name another file, or remove it";
            return Err(Error::invalid(self.output, reason));
        }
        Ok(())
    }

    /// Holds the output for this run; the system lets go of it when the file is closed.
    fn lock(&self) -> Result<File> {
        if let Some(folder) = self.output.parent() {
            files::create_dir(folder)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.output);
        let file = file.map_err(Error::io("open", self.output))?;
        let advice = "wait until it has ended, or name another file";
        files::lock(&file, self.output, self.output, advice)?;
        Ok(file)
    }

    /// Reads the replies, and checks what can be checked of them before a judge is loaded.
    fn read(&self) -> Result<Vec<Reply>> {
        let replies: Vec<Reply> = files::read_jsonl(self.input)?;
        if replies.is_empty() {
            return Err(Error::invalid(self.input, "has no replies"));
        }
        for (reply_idx, reply) in replies.iter().enumerate() {
            let line = |reason: String| {
                Error::invalid(self.input, format!("line {}: {reason}", reply_idx + 1))
            };
            for text in [&reply.query, &reply.response] {
                check_length(text).map_err(|error| line(error.to_string()))?;
            }
            let own = reply.statements.as_ref();
            if own.is_some_and(|own| own.iter().all(|statement| statement.trim().is_empty())) {
                return Err(line(
                    "`statements` is empty; leave it out to use the character's own statements"
                        .into(),
                ));
            }
            if reply.character.is_none() && self.character.is_none() {
                let (input, line) = (self.input.display(), reply_idx + 1);
                return Err(Error::Usage(format!(
                    "{input}: line {line} names no character; give one to all with --character"
                )));
            }
        }
        Ok(replies)
    }

    /// Whose reply it is.
    fn name<'a>(&'a self, reply: &'a Reply) -> &'a str {
        let name = reply.character.as_deref().or(self.character);
        name.expect("lines without a name are refused when they are read")
    }

    /// The characters of the replies, with their statements and judges.
    fn characters<'a>(
        &'a self,
        replies: &'a [Reply],
        by: &ScoredBy<'_>,
    ) -> Result<BTreeMap<&'a str, Scoring>> {
        let mut characters: BTreeMap<&str, Scoring> = BTreeMap::new();
        for (reply_idx, reply) in replies.iter().enumerate() {
            let name = self.name(reply);
            let known = characters.get(name);
            let has_own = reply.statements.is_some();
            if known.is_some_and(|known| has_own || known.persona.is_some()) {
                continue;
            }
            let persona = match &reply.statements {
                Some(own) => Persona::new(name, own.iter().cloned()),
                None => {
                    let statements = (by.statements)(name).map_err(|error| {
                        let reason = format!("line {}: {error}", reply_idx + 1);
                        Error::invalid(self.input, reason)
                    })?;
                    Persona::new(name, statements)
                }
            };
            let judges = match known {
                Some(known) => known.judges.clone(),
                None => (by.choose)(&persona)?,
            };
            let persona = (!has_own).then_some(persona);
            characters.insert(name, Scoring { persona, judges });
        }
        Ok(characters)
    }

    /// What the scores are made with.
    fn record(&self, characters: &BTreeMap<&str, Scoring>) -> Result<ScoreRecord> {
        let parent = self.output.parent();
        let folder = parent.filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Hashing a large model takes a while.
        let mut known: Vec<(ChosenJudge, JudgeIdentity)> = Vec::new();
        let mut with = BTreeMap::new();
        for (name, Scoring { persona, judges }) in characters {
            let mut identity = |judge: &ChosenJudge| -> Result<JudgeIdentity> {
                if let Some((_, identity)) = known.iter().find(|(known, _)| known == judge) {
                    return Ok(identity.clone());
                }
                let identity = judge.identity(folder)?;
                known.push((judge.clone(), identity.clone()));
                Ok(identity)
            };
            let statements = persona.as_ref().map(|persona| &persona.statements);
            let scored_with = ScoredWith {
                statements: statements
                    .map(|statements| files::checksum_of(json!(statements).to_string())),
                relevance: identity(&judges.relevance)?,
                nli: identity(&judges.nli)?,
            };
            with.insert((*name).to_string(), scored_with);
        }
        Ok(ScoreRecord::new(self.character, with))
    }

    /// Opens the output, with the scores that it has; an error if they are of other replies or were made with something
    /// else.
    fn open(&self, replies: &[Reply], now: &ScoreRecord) -> Result<(Journal, Vec<(f64, f64)>)> {
        let (mut journal, mut done) = Journal::open::<Scored>(self.output)?;
        let refused = |reason: &str| {
            let reason =
                format!("{reason}; name another file, or score all of them again with --force");
            Err(Error::invalid(self.output, reason))
        };
        if self.force && !done.is_empty() {
            drop(journal);
            fs::write(self.output, "").map_err(Error::io("empty", self.output))?;
            (journal, done) = Journal::open::<Scored>(self.output)?;
        }
        let differs = done
            .iter()
            .zip(replies)
            .any(|(scored, reply)| scored.reply != *reply);
        if differs || done.len() > replies.len() {
            return refused("holds scores of other replies");
        }
        if !done.is_empty() {
            let record = ScoreRecord::read(self.output)?;
            let scored = done.iter().map(|scored| scored.reply.character.as_deref());
            let differences = record.differences(now, scored);
            if !differences.is_empty() {
                let reason = format!("was scored with other settings: {}", differences.join(", "));
                return refused(&reason);
            }
        }
        now.write(self.output)?;
        let scores = done
            .iter()
            .map(|scored| (scored.apc.apc, scored.apc.delta_apc));
        Ok((journal, scores.collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use burn::tensor::Device;
    use clap::Parser;

    use super::*;
    use crate::cli::args::judges::JudgeArgs;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        judges: JudgeArgs,
    }

    #[test]
    fn characters_with_the_same_judges_share_them() {
        let folder = tempfile::tempdir().unwrap();
        let [input, output] = ["replies", "scores"].map(|name| folder.path().join(name));
        let line = |name: &str| json!({"query": "Hi?", "response": "Ho.", "character": name});
        let lines = ["Mira", "Odile", "Mira"].map(|name| line(name).to_string());
        std::fs::write(&input, lines.join("\n")).unwrap();
        let Arguments { judges } = Arguments::parse_from(["score"]);
        let (job, devices) = (Job::default(), Device::flex().into());
        let n_loaded = Cell::new(0);
        let by = ScoredBy {
            statements: &|name| Ok(vec![format!("{name} sings.")]),
            choose: &|persona| judges.choose(folder.path(), persona, &job),
            load: &|judge| {
                n_loaded.set(n_loaded.get() + 1);
                judges.load_one(judge, &devices, &job)
            },
        };
        let file = ReplyFile {
            input: &input,
            output: &output,
            character: None,
            force: false,
        };
        assert_eq!(file.score(&by, &job).unwrap().replies, 3);
        assert_eq!(n_loaded.get(), 2, "one for each task");
    }
}
