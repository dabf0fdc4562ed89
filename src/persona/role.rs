//! Who speaks, and how: a persona with judges that retrieve and score, without the model that speaks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::established::{self, Listener, Told};
use super::{
    Answer, AnswerConfig, Conversation, Persona, RelevanceTable, Score, Scorer, Turn,
    conversation_prompt, encode_prompt, relevance_of_turns,
};
use crate::progress::Job;
use crate::text::{Engine, FinishReason, Reply, ReplyStream};
use crate::{Error, Result};

/// A persona with judges and settings; an [`Engine`] speaks for it.
#[derive(Debug)]
pub struct Role {
    persona: Persona,
    scorer: Arc<Scorer>,
    config: AnswerConfig,
    /// Who reads what the user tells of themself, and the user's name.
    listener: Option<(Arc<dyn Listener>, String)>,
    /// P(relevant) of every statement for what was asked lately.
    known: Mutex<Known>,
}

/// What was judged, by the text.
#[derive(Debug, Default)]
struct Known {
    rows: HashMap<String, Arc<[f64]>>,
    /// Of the texts together.
    bytes: usize,
}

/// A conversation as a model reads it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The prompt's ids.
    pub ids: Vec<i32>,
    /// What the user said.
    pub message: String,
    /// What the reply begins with already.
    pub begun: String,
    /// The statements that the last turn brought into the prompt, the most relevant first.
    pub retrieved: Vec<String>,
    /// How many of the oldest exchanges have no room in the prompt.
    pub dropped: usize,
    /// What the user has told of themself, the latest last.
    pub told: Vec<String>,
    relevance: Vec<f64>,
}

/// As much of a text as any judge reads: to make tokens of more takes long and changes nothing.
fn beginning(text: &str) -> &str {
    const MOST: usize = 32 << 10;
    &text[..text.floor_char_boundary(MOST)]
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
            listener: None,
            known: Mutex::default(),
        })
    }

    /// Also compares replies with what the user has told of themself.
    pub fn with_listener(self, listener: Arc<dyn Listener>, user: &str) -> Self {
        Self {
            listener: Some((listener, user.to_string())),
            ..self
        }
    }

    /// The same with other statements.
    ///
    /// # Errors
    ///
    /// None that [`Role::new`] did not have.
    pub fn with_statements(&self, statements: Vec<String>) -> Result<Self> {
        let persona = Persona::new(&self.persona.name, statements);
        let new = Self::new(persona, self.scorer.clone(), self.config.clone())?;
        Ok(Self {
            listener: self.listener.clone(),
            ..new
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

    /// P(relevant) of every statement for each text, which is judged once.
    fn judged(&self, texts: &[&str], job: &Job) -> Result<Vec<Arc<[f64]>>> {
        /// Texts that are remembered, and their bytes.
        const MOST: [usize; 2] = [4096, 4 << 20];
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Option<Arc<[f64]>>> = {
            let known = lock();
            texts
                .iter()
                .map(|text| known.rows.get(*text).cloned())
                .collect()
        };
        let unknown = texts.iter().zip(&found).filter(|(_, row)| row.is_none());
        let new: Vec<&str> = unknown.map(|(text, _)| *text).collect();
        let mut rows: HashMap<&str, Arc<[f64]>> = HashMap::new();
        if !new.is_empty() {
            let table = self.scorer.relevance_of(&self.persona, &new, job)?;
            rows.extend(new.into_iter().zip(table.rows.into_iter().map(Arc::from)));
        }
        for (text, row) in texts.iter().zip(&mut found) {
            if row.is_none() {
                *row = rows.get(text).cloned();
            }
        }
        let found = found.into_iter().collect::<Option<Vec<_>>>();
        let found = found.ok_or_else(|| Error::Fault("the relevance of a text is lost".into()))?;
        let mut known = lock();
        let bytes: usize = rows.keys().map(|text| text.len()).sum();
        if known.rows.len() + rows.len() > MOST[0] || known.bytes + bytes > MOST[1] {
            *known = Known::default();
        }
        // Two requests may have judged one text at the same time; it is counted twice then.
        known.bytes += bytes;
        let rows = rows.into_iter().map(|(text, row)| (text.to_string(), row));
        known.rows.extend(rows);
        Ok(found)
    }

    /// How much every statement matters to turns of a user, see [`relevance_of_turns`].
    pub fn relevance(&self, turns: &[Turn<'_>], job: &Job) -> Result<Vec<Vec<f64>>> {
        relevance_of_turns(turns, |texts| {
            let texts: Vec<&str> = texts.iter().map(|text| beginning(text)).collect();
            self.judged(&texts, job)
        })
    }

    /// Retrieves statements for each turn, and writes the prompt. Where the model has no room for the whole conversation, the
    /// oldest exchanges are left out, some at a time, so that prompts of later turns still begin alike.
    ///
    /// - max_new_tokens: room for the reply
    ///
    /// # Errors
    ///
    /// A last turn that leaves no such room.
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
        let unseen = n_exchanges.saturating_sub(config.history.unwrap_or(n_exchanges));
        let mut seen = Conversation {
            examples: String::new(),
            ..conversation.clone()
        };
        if config.history == Some(0) {
            (seen.scene, seen.greeting) = (String::new(), String::new());
        }
        // What has no room without any statement need not be judged.
        let bare = vec![Vec::new(); n_exchanges + 1];
        let write = |statements: &[Vec<&str>], dropped| {
            conversation_prompt(format, &persona.name, &seen, statements, dropped)
        };
        let has_room = |prompt: &str| -> Result<bool> {
            let n_tokens = tokenizer.encode(prompt)?.len();
            Ok(n_tokens.saturating_add(max_new_tokens) <= max_tokens)
        };
        let fits = |statements: &[Vec<&str>], dropped| has_room(&write(statements, dropped)?);
        let first = |statements: &[Vec<&str>], least: usize| -> Result<usize> {
            let steps = (least + 1..n_exchanges).filter(|dropped| dropped.is_multiple_of(STEP));
            let steps: Vec<usize> = [least]
                .into_iter()
                .chain(steps)
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
        let least = first(&bare, unseen)?;
        let turns = conversation.turns();
        let mut table = RelevanceTable {
            rows: self.relevance(&turns[least..], job)?,
        };
        let mut statements = bare;
        for place in 0..turns.len() - least {
            let retrieved = table.retrieve_relevant(place, config.rag_top_k, config.min_relevance);
            let retrieved = retrieved.into_iter();
            statements[least + place] = retrieved
                .map(|idx| persona.statements[idx].as_str())
                .collect();
        }
        let dropped = first(&statements, least)?;
        let mut prompt = write(&statements, dropped)?;
        if config.history != Some(0) && !conversation.examples.is_empty() && dropped == unseen {
            let name = &persona.name;
            let whole = conversation_prompt(format, name, conversation, &statements, dropped)?;
            if has_room(&whole)? {
                prompt = whole;
            }
        }
        let retrieved = statements.last().into_iter().flatten();
        let nothing = || Error::Model("a conversation without a last turn was asked".to_string());
        Ok(Prepared {
            ids: encode_prompt(tokenizer, &prompt, max_tokens, max_new_tokens)?,
            message: conversation.query.trim().to_string(),
            begun: conversation.begun.trim().to_string(),
            retrieved: retrieved.map(|statement| statement.to_string()).collect(),
            dropped: dropped - unseen,
            told: self.told_in(conversation),
            relevance: table.rows.pop().ok_or_else(nothing)?,
        })
    }

    /// What the user has told of themself, the latest last.
    pub fn told_in(&self, conversation: &Conversation) -> Vec<String> {
        let listener = self.listener.as_ref();
        listener.map_or_else(Vec::new, |(listener, user)| {
            established::told_in(&**listener, user, conversation)
        })
    }

    /// What responses do with what the user has told of themself, apart from the score: one list a response, empty if it says nothing
    /// of the user.
    pub fn established(
        &self,
        told: &[String],
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<Vec<Told>>> {
        match &self.listener {
            Some((listener, user)) => {
                (self.scorer).established(&**listener, user, told, responses, job)
            }
            None => Ok(vec![Vec::new(); responses.len()]),
        }
    }

    /// The text of a reply, with what it began with.
    pub fn text(&self, engine: &Engine, prepared: &Prepared, ids: &[i32]) -> Result<String> {
        let said = engine.format().spoken().of(ids);
        let tokenizer = engine.tokenizer();
        let mut stream = match prepared.ids.last().filter(|_| !prepared.begun.is_empty()) {
            Some(&last) => ReplyStream::behind_token(tokenizer, last)?,
            None => ReplyStream::new(tokenizer),
        };
        let mut text = prepared.begun.clone();
        for id in said {
            text.push_str(&stream.push(id)?);
        }
        text.push_str(&stream.finish()?);
        Ok(text.trim().to_string())
    }

    /// Scores responses to the last turn.
    pub fn score(&self, prepared: &Prepared, responses: &[&str], job: &Job) -> Result<Vec<Score>> {
        let relevance = prepared.relevance.clone();
        self.score_by(relevance, &prepared.message, responses, job)
    }

    /// Scores responses to the last turn of a conversation, whoever wrote them.
    pub fn score_turn(
        &self,
        conversation: &Conversation,
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<Score>> {
        let turns = conversation.turns();
        let mut rows = self.relevance(&turns[turns.len() - 1..], job)?;
        let relevance = rows.pop().unwrap_or_default();
        self.score_by(relevance, &conversation.query, responses, job)
    }

    fn score_by(
        &self,
        relevance: Vec<f64>,
        query: &str,
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<Score>> {
        let table = RelevanceTable {
            rows: vec![relevance],
        };
        self.scorer
            .score_retrieved(&self.persona, query, responses, &table, job)
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
        let established = self.established(&prepared.told, &borrowed, job)?;
        let scores = scores.into_iter().zip(established);
        let answer = |((response, (score, established)), reply): ((String, _), &Reply)| Answer {
            message: prepared.message.clone(),
            response,
            is_cut: reply.finish_reason == FinishReason::Length,
            dropped: prepared.dropped,
            retrieved: prepared.retrieved.clone(),
            score,
            established,
        };
        let answers = texts.into_iter().zip(scores).zip(replies);
        Ok(answers.map(answer).collect())
    }
}
