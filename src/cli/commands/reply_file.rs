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
use crate::cli::input;
use crate::files::Journal;
use crate::persona::{Judge, Persona, Score, Scorer};
use crate::pipeline::check_name;
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

/// A reply with the number of its line.
struct Line {
    number: usize,
    reply: Reply,
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
        let lines = self.read(job)?;
        let characters = self.characters(&lines, by)?;
        let record = self.record(&characters)?;
        let _lock = self.lock()?;
        let mut scores = match self.force {
            true => Vec::new(),
            false => self.scored(&lines, &record)?,
        };
        let scored_before = scores.len();
        let task = job.progress.task("score", lines.len(), "replies");
        task.resume(scored_before);
        let mut journal = None;
        let mut loaded: Vec<(ChosenJudge, Judge)> = Vec::new();
        let mut scorers: HashMap<&str, Scorer> = HashMap::new();
        let quiet = job.quiet();
        for Line { number, reply } in &lines[scored_before..] {
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
            let scorer = &scorers[name];
            let at_line = |error| self.at_line(*number, error);
            let readable = scorer.nli.readable(persona, &reply.query, &reply.response);
            let n_readable = readable.map_err(at_line)?.len();
            if n_readable < reply.response.len() {
                job.progress.note(&format!(
                    "line {number}: a reply of {} bytes is longer than the judge reads, and is scored by its first {n_readable}",
                    reply.response.len()
                ));
            }
            let texts = [reply.response.as_str()];
            let found = scorer.score_all(persona, &reply.query, &texts, &quiet);
            let apc = match found {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                found => found.map_err(at_line)?.remove(0),
            };
            scores.push((apc.apc, apc.delta_apc));
            let reply = reply.clone();
            // What an earlier run scored stays until there is something in its place.
            let journal = match &mut journal {
                Some(journal) => journal,
                None => journal.insert(self.begin(&record)?),
            };
            journal.append(&[Scored { reply, apc }])?;
            task.advance(1);
        }
        let mean = |of: fn(&(f64, f64)) -> f64| {
            scores.iter().map(of).sum::<f64>() / scores.len().max(1) as f64
        };
        Ok(Summary {
            replies: lines.len(),
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
        // `/dev/stdout` is whatever that is; a record beside it would go to /dev.
        let is_device = self.output.starts_with("/dev") || self.output.starts_with("/proc");
        if is_device || there.as_ref().is_some_and(|there| !there.is_file()) {
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
        let record = ScoreRecord::path(self.output);
        if record.exists() && ScoreRecord::read(self.output).is_err() {
            let reason =
                "is where the record of --output goes, but is another file; name another --output";
            return Err(Error::invalid(record, reason));
        }
        if there.is_some_and(|there| there.len() > 0) && !record.exists() {
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
    fn read(&self, job: &Job) -> Result<Vec<Line>> {
        let text = input::read(self.input, job)?;
        let replies: Vec<Reply> = files::parse_jsonl(self.input, &text)?;
        if replies.is_empty() {
            return Err(Error::invalid(self.input, "has no replies"));
        }
        let numbers = text.lines().enumerate();
        let numbers = numbers.filter(|(_, line)| !line.trim().is_empty());
        let mut lines = Vec::new();
        for ((line_idx, _), mut reply) in numbers.zip(replies) {
            let number = line_idx + 1;
            for text in [&reply.query, &reply.response] {
                check_length(text).map_err(|error| self.at_line(number, error))?;
            }
            let own = reply.statements.as_ref();
            if own.is_some_and(|own| own.iter().all(|statement| statement.trim().is_empty())) {
                let reason = format!(
                    "line {number}: \"statements\" is empty; leave it out to use the character's own statements"
                );
                return Err(Error::invalid(self.input, reason));
            }
            if let Some(Err(Error::Setting { reason, .. })) =
                reply.character.as_deref().map(check_name)
            {
                let reason = format!("line {number}: \"character\": {reason}");
                return Err(Error::invalid(self.input, reason));
            }
            if reply.character.is_none() && self.character.is_none() {
                let input = self.input.display();
                return Err(Error::Usage(format!(
                    "{input}: line {number} names no character; give one to all with --character"
                )));
            }
            // Scores of an earlier run make room for the new ones.
            reply.rest.remove("apc");
            lines.push(Line { number, reply });
        }
        Ok(lines)
    }

    /// Tells the line at which something failed.
    fn at_line(&self, number: usize, error: Error) -> Error {
        Error::invalid(self.input, format!("line {number}: {error}"))
    }

    /// Whose reply it is.
    fn name<'a>(&'a self, reply: &'a Reply) -> &'a str {
        let name = reply.character.as_deref().or(self.character);
        name.expect("lines without a name are refused when they are read")
    }

    /// The characters of the replies, with their statements and judges.
    fn characters<'a>(
        &'a self,
        lines: &'a [Line],
        by: &ScoredBy<'_>,
    ) -> Result<BTreeMap<&'a str, Scoring>> {
        let mut characters: BTreeMap<&str, Scoring> = BTreeMap::new();
        for Line { number, reply } in lines {
            let name = self.name(reply);
            let known = characters.get(name);
            let has_own = reply.statements.is_some();
            if known.is_some_and(|known| has_own || known.persona.is_some()) {
                continue;
            }
            let persona = match &reply.statements {
                Some(own) => Persona::new(name, own.iter().cloned()),
                None => {
                    let statements = (by.statements)(name);
                    let statements = statements.map_err(|error| self.at_line(*number, error))?;
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

    /// Reads the scores that the output has; an error if they are of other replies or were made with something else.
    fn scored(&self, lines: &[Line], now: &ScoreRecord) -> Result<Vec<(f64, f64)>> {
        let (_, done) = Journal::open::<Scored>(self.output)?;
        let refused = |reason: &str| {
            let reason =
                format!("{reason}; name another file, or score all of them again with --force");
            Err(Error::invalid(self.output, reason))
        };
        let differs = done
            .iter()
            .zip(lines)
            .any(|(scored, line)| scored.reply != line.reply);
        if differs || done.len() > lines.len() {
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
        let scores = done
            .iter()
            .map(|scored| (scored.apc.apc, scored.apc.delta_apc));
        Ok(scores.collect())
    }

    /// Opens the output for scores that are made with what the record says.
    fn begin(&self, now: &ScoreRecord) -> Result<Journal> {
        if self.force {
            fs::write(self.output, "").map_err(Error::io("empty", self.output))?;
        }
        now.write(self.output)?;
        Ok(Journal::open::<Scored>(self.output)?.0)
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
