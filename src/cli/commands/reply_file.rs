//! `apc score --input`: the replies of a file, a line each.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::args::persona::check_length;
use crate::files::Journal;
use crate::persona::{Persona, Score, Scorer};
use crate::progress::Job;
use crate::{Error, Result, files};

/// A file of replies to be scored.
pub(super) struct ReplyFile<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    /// Whose replies they are where a line does not tell.
    pub(super) character: Option<&'a str>,
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

impl ReplyFile<'_> {
    /// Scores every reply that the output has not yet.
    ///
    /// - statements: those of a character by name
    /// - load: the judges of a persona
    pub(super) fn score(
        &self,
        statements: &dyn Fn(&str) -> Result<Vec<String>>,
        load: &dyn Fn(&Persona) -> Result<Scorer>,
        job: &Job,
    ) -> Result<Summary> {
        let replies: Vec<Reply> = files::read_jsonl(self.input)?;
        for (reply_idx, reply) in replies.iter().enumerate() {
            for text in [&reply.query, &reply.response] {
                let line = |error: Error| {
                    Error::invalid(self.input, format!("line {}: {error}", reply_idx + 1))
                };
                check_length(text).map_err(line)?;
            }
        }
        let (mut journal, done) = Journal::open::<Scored>(self.output)?;
        let scored_before = done.len();
        let differs = done
            .iter()
            .zip(&replies)
            .any(|(scored, reply)| scored.reply != *reply);
        if differs || scored_before > replies.len() {
            let reason = "holds scores of other replies; name another file";
            return Err(Error::invalid(self.output, reason));
        }
        let mut scores: Vec<(f64, f64)> = done
            .iter()
            .map(|scored| (scored.apc.apc, scored.apc.delta_apc))
            .collect();
        drop(done);
        let task = job.progress.task("score", replies.len(), "replies");
        task.advance(scored_before);
        let mut personas: HashMap<&str, Persona> = HashMap::new();
        let mut scorers: HashMap<&str, Scorer> = HashMap::new();
        let quiet = job.quiet();
        for reply in &replies[scored_before..] {
            job.check()?;
            let name = reply.character.as_deref().or(self.character);
            let name = name.ok_or_else(|| {
                Error::Usage("a line names no character; give one to all with --character".into())
            })?;
            let own = reply.statements.as_ref();
            let own = own.map(|own| Persona::new(name, own.iter().cloned()));
            if own.is_none() && !personas.contains_key(name) {
                personas.insert(name, Persona::new(name, statements(name)?));
            }
            let persona = own.as_ref().unwrap_or_else(|| &personas[name]);
            if !scorers.contains_key(name) {
                scorers.insert(name, load(persona)?);
            }
            let scorer = &scorers[name];
            let texts = [reply.response.as_str()];
            let mut found = scorer.score_all(persona, &reply.query, &texts, &quiet)?;
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
}
