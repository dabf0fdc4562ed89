//! Who speaks, and how: a persona with judges that retrieve and score, without the model that speaks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Answer, AnswerConfig, Conversation, Persona, RelevanceTable, Scorer, conversation_prompt,
    encode_prompt,
};
use crate::progress::Job;
use crate::text::{Engine, FinishReason, Reply};
use crate::{Error, Result};

/// A persona with judges and settings; an [`Engine`] speaks for it.
#[derive(Debug)]
pub struct Role {
    persona: Persona,
    scorer: Arc<Scorer>,
    config: AnswerConfig,
    /// P(relevant) of every statement for what was asked lately.
    known: Mutex<HashMap<String, Arc<Vec<f64>>>>,
}

/// A conversation as a model reads it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The prompt's ids.
    pub ids: Vec<i32>,
    /// What the user said.
    pub message: String,
    /// What that asks, with what it leans on.
    pub query: String,
    /// What the reply begins with already.
    pub begun: String,
    /// The statements that the last turn brought into the prompt, the most relevant first.
    pub retrieved: Vec<String>,
    /// How many of the oldest exchanges have no room in the prompt.
    pub dropped: usize,
    relevance: Arc<Vec<f64>>,
}

impl Role {
    /// A persona that has statements.
    ///
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(persona: Persona, scorer: Arc<Scorer>, config: AnswerConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            persona,
            scorer,
            config,
            known: Mutex::default(),
        })
    }

    /// Who it is.
    pub fn persona(&self) -> &Persona {
        &self.persona
    }

    /// How it answers.
    pub fn config(&self) -> &AnswerConfig {
        &self.config
    }

    /// The judges.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// P(relevant) of every statement for each query, which is judged once.
    fn relevance(&self, queries: &[&str], job: &Job) -> Result<Vec<Arc<Vec<f64>>>> {
        /// Queries that are remembered.
        const MOST: usize = 4096;
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<&str> = {
            let known = lock();
            let is_new = |query: &&str| !known.contains_key(*query);
            queries.iter().copied().filter(is_new).collect()
        };
        if !new.is_empty() {
            let table = self.scorer.relevance_of(&self.persona, &new, job)?;
            let mut known = lock();
            if known.len() + new.len() > MOST {
                known.clear();
            }
            let rows = table.rows.into_iter().map(Arc::new);
            known.extend(new.into_iter().map(str::to_string).zip(rows));
        }
        let known = lock();
        let of = |query: &&str| known.get(*query).cloned();
        let rows: Option<Vec<Arc<Vec<f64>>>> = queries.iter().map(of).collect();
        drop(known);
        // Others may have filled the memory meanwhile.
        rows.map_or_else(|| self.relevance(queries, job), Ok)
    }

    /// Retrieves statements for each turn, and writes the prompt. Where the model has no room for the whole conversation, the
    /// oldest exchanges are left out, some at a time, so that prompts of later turns still begin alike.
    ///
    /// - max_new_tokens: the longest reply
    ///
    /// # Errors
    ///
    /// A last turn that leaves no room for a reply.
    pub fn prepare(
        &self,
        engine: &Engine,
        conversation: &Conversation,
        max_new_tokens: usize,
        job: &Job,
    ) -> Result<Prepared> {
        /// How many exchanges are left out at a time.
        const STEP: usize = 4;
        let (config, persona) = (&self.config, &self.persona);
        let (tokenizer, format) = (engine.tokenizer(), engine.format());
        let max_tokens = engine.max_tokens();
        let n_exchanges = conversation.exchanges.len();
        // What has no room without any statement need not be judged.
        let bare = vec![Vec::new(); n_exchanges + 1];
        let write = |statements: &[Vec<&str>], dropped| {
            conversation_prompt(format, &persona.name, conversation, statements, dropped)
        };
        let fits = |statements: &[Vec<&str>], dropped| -> Result<bool> {
            let prompt = write(statements, dropped)?;
            let n_tokens = tokenizer.encode(&prompt)?.len();
            Ok(n_tokens.saturating_add(max_new_tokens) <= max_tokens)
        };
        let first = |statements: &[Vec<&str>], least: usize| -> Result<usize> {
            let steps: Vec<usize> = (least..n_exchanges)
                .filter(|dropped| dropped.is_multiple_of(STEP))
                .chain([n_exchanges])
                .collect();
            let (mut low, mut high) = (0, steps.len() - 1);
            while low < high {
                let middle = (low + high) / 2;
                match fits(statements, steps[middle])? {
                    true => high = middle,
                    false => low = middle + 1,
                }
            }
            Ok(steps[low])
        };
        let least = first(&bare, 0)?;
        let queries = conversation.queries();
        let asked: Vec<&str> = queries[least..].iter().map(|query| query.trim()).collect();
        let rows = self.relevance(&asked, job)?;
        let mut statements = bare;
        for (place, row) in rows.iter().enumerate() {
            let table = RelevanceTable {
                rows: vec![row.to_vec()],
            };
            let retrieved = table.retrieve_relevant(0, config.rag_top_k, config.min_relevance);
            let retrieved = retrieved.into_iter();
            statements[least + place] = retrieved
                .map(|idx| persona.statements[idx].as_str())
                .collect();
        }
        let dropped = first(&statements, least)?;
        let prompt = write(&statements, dropped)?;
        let retrieved = statements.last().into_iter().flatten();
        let nothing = || Error::Model("a conversation without a last turn was asked".to_string());
        Ok(Prepared {
            ids: encode_prompt(tokenizer, &prompt, max_tokens, max_new_tokens)?,
            message: conversation.query.trim().to_string(),
            query: asked
                .last()
                .map(|query| query.to_string())
                .unwrap_or_default(),
            begun: conversation.begun.trim().to_string(),
            retrieved: retrieved.map(|statement| statement.to_string()).collect(),
            dropped,
            relevance: rows.into_iter().next_back().ok_or_else(nothing)?,
        })
    }

    /// The text of a reply, with what it began with.
    pub fn text(&self, engine: &Engine, prepared: &Prepared, ids: &[i32]) -> Result<String> {
        let said = engine.format().spoken().of(ids);
        let new = engine.tokenizer().decode_reply(&said)?;
        Ok(format!("{}{new}", prepared.begun).trim().to_string())
    }

    /// Scores responses to the last turn.
    pub fn score(
        &self,
        prepared: &Prepared,
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<super::Score>> {
        let table = RelevanceTable {
            rows: vec![prepared.relevance.to_vec()],
        };
        let (persona, query) = (&self.persona, &prepared.query);
        self.scorer
            .score_retrieved(persona, query, responses, &table, job)
    }

    /// Reads and scores replies, in their order.
    pub fn answers(
        &self,
        engine: &Engine,
        prepared: &Prepared,
        replies: &[Reply],
        job: &Job,
    ) -> Result<Vec<Answer>> {
        let texts = replies
            .iter()
            .map(|reply| self.text(engine, prepared, &reply.ids))
            .collect::<Result<Vec<String>>>()?;
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = self.score(prepared, &borrowed, job)?;
        let answer = |((response, score), reply): ((String, _), &Reply)| Answer {
            message: prepared.message.clone(),
            query: prepared.query.clone(),
            response,
            is_cut: reply.finish_reason == FinishReason::Length,
            dropped: prepared.dropped,
            retrieved: prepared.retrieved.clone(),
            score,
        };
        let answers = texts.into_iter().zip(scores).zip(replies);
        Ok(answers.map(answer).collect())
    }
}
