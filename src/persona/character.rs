//! A character that answers, and whose answers are scored.

use std::sync::Arc;

use burn::config::Config;

use super::{Conversation, Listener, Persona, Role, Score, Scorer, Told};
use crate::progress::Job;
use crate::text::{Engine, GenerateConfig, Prompt, ReplyStream, Sampling, Token, seed_for};
use crate::{Error, Result};

/// How a character answers.
#[derive(Config, Debug)]
pub struct AnswerConfig {
    /// Statements in the prompt.
    #[config(default = 5)]
    pub rag_top_k: usize,
    /// P(relevant) that a statement must have to be in the prompt; 0 takes the most relevant ones however little they matter.
    #[config(default = 0.0)]
    pub min_relevance: f64,
    /// The most exchanges before a turn that the model sees, if not as many as it has room for. With 0 each turn stands alone,
    /// without greeting and scene; statements are retrieved by what was said before all the same.
    #[config(default = "None")]
    pub history: Option<usize>,
    /// Longest reply, in tokens.
    #[config(default = 64)]
    pub max_new_tokens: usize,
    /// 0 takes the likeliest token, 1 draws from the model's own distribution.
    #[config(default = 0.3)]
    pub temperature: f32,
    /// Draw from so many of the likeliest tokens only.
    #[config(default = "None")]
    pub top_k: Option<usize>,
    /// Draw from the likeliest tokens whose probabilities reach this sum only.
    #[config(default = "None")]
    pub top_p: Option<f32>,
    /// Everything random comes from it.
    #[config(default = 42)]
    pub seed: u64,
}

impl AnswerConfig {
    /// # Errors
    ///
    /// A setting that makes no sense, by name.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("rag_top_k", Some(self.rag_top_k)),
            ("max_new_tokens", Some(self.max_new_tokens)),
            ("top_k", self.top_k),
        ];
        if let Some((setting, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return Err(Error::setting(setting, "must be at least 1"));
        }
        if !(0.0..=1.0).contains(&self.min_relevance) {
            return Err(Error::setting("min_relevance", "must be from 0 to 1"));
        }
        if !(0.0..=10.0).contains(&self.temperature) {
            return Err(Error::setting("temperature", "must be from 0 to 10"));
        }
        if self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return Err(Error::setting("top_p", "must be above 0 and at most 1"));
        }
        Ok(())
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> Sampling {
        match Sampling::at_temperature(self.temperature) {
            Sampling::Random { temperature, .. } => Sampling::Random {
                temperature,
                top_k: self.top_k,
                top_p: self.top_p,
            },
            greedy => greedy,
        }
    }
}

/// A message, and what a character answered.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// What was said to the character.
    pub message: String,
    /// What the character answered.
    pub response: String,
    /// Whether the answer is as long as one may be, so that it did not come to its end.
    pub is_cut: bool,
    /// How many of the oldest exchanges had no room in the prompt.
    pub dropped: usize,
    /// The statements that the message brought into the prompt, the most relevant first.
    pub retrieved: Vec<String>,
    /// How faithful the answer is.
    #[serde(flatten)]
    pub score: Score,
    /// What it does with what the user has told of themself; nothing if it says nothing of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub established: Vec<Told>,
}

/// A persona with a model that speaks for it and judges that retrieve and score.
///
/// ```no_run
/// use apc::persona::{Character, Conversation};
///
/// # fn talk(mira: &mut Character) -> apc::Result<()> {
/// let mut talk = Conversation::asked("Do you have a brother?");
/// talk.begun = mira.reply(&talk)?.response;
/// talk.end();
/// talk.query = "And a sister?".into();
/// println!("{}", mira.reply(&talk)?.response);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Character {
    role: Role,
    engine: Engine,
    n_answers: u64,
}

impl Character {
    /// A character that was asked nothing yet.
    ///
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(
        persona: Persona,
        engine: Engine,
        scorer: Scorer,
        config: AnswerConfig,
    ) -> Result<Self> {
        Ok(Self {
            role: Role::new(persona, Arc::new(scorer), config)?,
            engine,
            n_answers: 0,
        })
    }

    /// Also compares answers with what the user has told of themself.
    pub fn with_listener(self, listener: Arc<dyn Listener>, user: &str) -> Self {
        Self {
            role: self.role.with_listener(listener, user),
            ..self
        }
    }

    /// Who the character is.
    pub fn persona(&self) -> &Persona {
        self.role.persona()
    }

    /// Answers a message by itself, and scores the answer.
    ///
    /// The n-th answer of a character draws the same random numbers every time.
    pub fn answer(&mut self, message: &str) -> Result<Answer> {
        self.reply(&Conversation::asked(message.trim()))
    }

    /// Replies in a conversation, and scores the reply by what its last turn asks.
    ///
    /// # Errors
    ///
    /// A last turn that leaves no room for a reply.
    pub fn reply(&mut self, conversation: &Conversation) -> Result<Answer> {
        self.reply_aloud(conversation, &Job::default(), &mut |_| {})
    }

    /// The same; `on_text` hears the reply as it grows, piece by piece.
    pub fn reply_aloud(
        &mut self,
        conversation: &Conversation,
        job: &Job,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer> {
        let config = self.role.config();
        let engine = &self.engine;
        let max_new_tokens = config.max_new_tokens;
        let prepared = self
            .role
            .prepare(engine, conversation, max_new_tokens, job)?;
        let prompt = Prompt {
            ids: prepared.ids.clone(),
            seeds: vec![seed_for(config.seed, &[self.n_answers])],
        };
        let format = engine.format();
        let generate = GenerateConfig {
            sampling: config.sampling(),
            stop_ids: format.stop_ids().to_vec(),
            ..GenerateConfig::new(max_new_tokens)
        };
        let mut stream = match prepared.ids.last().filter(|_| !prepared.begun.is_empty()) {
            Some(&last) => ReplyStream::behind_token(engine.tokenizer(), last)?,
            None => ReplyStream::new(engine.tokenizer()),
        };
        let mut failure = None;
        let mut spoken = format.spoken();
        let mut on_token = |_, token: &Token| {
            if !spoken.is_said(token.id) {
                return;
            }
            match stream.push(token.id) {
                Ok(new) if new.is_empty() => {}
                Ok(new) => on_text(&new),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        };
        let replies = engine.generate(&[prompt], &generate, job, &mut on_token)?;
        failure.map_or(Ok(()), Err)?;
        on_text(&stream.finish()?);
        let answers = self
            .role
            .answers(engine, &prepared, &replies, &job.quiet())?;
        self.n_answers += 1;
        let none = || Error::Model("no reply came back".to_string());
        answers.into_iter().next().ok_or_else(none)
    }
}
