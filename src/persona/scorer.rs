//! Both judges, ready to score any reply.

use super::{Judge, JudgeSource, JudgeTask, Persona, RelevanceTable, Score};
use crate::parallel::Devices;
use crate::progress::Job;
use crate::{Error, Result};

/// Scores replies against a persona with a relevance judge and an NLI judge.
#[derive(Debug)]
pub struct Scorer {
    /// Whether a statement matters to a query.
    pub relevance: Judge,
    /// What a statement says of a reply.
    pub nli: Judge,
}

impl Scorer {
    /// Reads both judges.
    ///
    /// # Errors
    ///
    /// A judge whose classes are others than those of its task.
    pub fn load(relevance: &JudgeSource, nli: &JudgeSource, devices: &Devices) -> Result<Self> {
        let job = Job::default();
        Ok(Self {
            relevance: Judge::load(relevance, JudgeTask::Relevance, devices, &job)?,
            nli: Judge::load(nli, JudgeTask::Nli, devices, &job)?,
        })
    }

    /// How faithful a reply to a query is: the number of statements that it respects.
    pub fn score(&self, persona: &Persona, query: &str, response: &str) -> Result<Score> {
        let job = Job::default();
        let mut scores = self.score_all(persona, query, &[response], &job)?;
        Ok(scores.remove(0))
    }

    /// The scores of several replies to one query, whose relevance is judged once.
    ///
    /// A reply that is longer than the NLI judge reads is scored by how it begins, and that is told.
    pub fn score_all(
        &self,
        persona: &Persona,
        query: &str,
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<Score>> {
        let table = self.retrieve(persona, query, job)?;
        self.score_retrieved(persona, query, responses, &table, job)
    }

    /// P(relevant) of every statement for a query, the table's one row.
    ///
    /// # Errors
    ///
    /// A persona without statements.
    pub fn retrieve(&self, persona: &Persona, query: &str, job: &Job) -> Result<RelevanceTable> {
        self.relevance_of(persona, &[query], job)
    }

    /// P(relevant) of every statement for several queries, one row a query; spaces around a query do not count.
    ///
    /// # Errors
    ///
    /// A persona without statements.
    pub fn relevance_of(
        &self,
        persona: &Persona,
        queries: &[&str],
        job: &Job,
    ) -> Result<RelevanceTable> {
        if persona.statements.is_empty() {
            return Err(Error::setting(
                "statements",
                format!("are none for {}: nothing can be scored", persona.name),
            ));
        }
        let queries: Vec<String> = queries.iter().map(|query| query.trim().into()).collect();
        self.relevance.relevance(persona, &queries, job)
    }

    /// The same as [`Self::score_all`] where relevance is known.
    pub fn score_retrieved(
        &self,
        persona: &Persona,
        query: &str,
        responses: &[&str],
        table: &RelevanceTable,
        job: &Job,
    ) -> Result<Vec<Score>> {
        let query = query.trim();
        let mut asked = Vec::new();
        for response in responses {
            let response = response.trim();
            let read = self.nli.readable(persona, query, response)?;
            if read.len() < response.len() {
                job.progress.note(&format!(
                    "a reply of {} bytes is longer than the judge reads, and is scored by its first {}",
                    response.len(),
                    read.len()
                ));
            }
            asked.push((query, read));
        }
        let rows = self.nli.nli(persona, &asked, job)?;
        let scores = rows
            .iter()
            .map(|nli| Score::of(persona, &table.rows[0], nli));
        Ok(scores.collect())
    }
}
