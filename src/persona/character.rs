//! A character that answers, and whose answers are scored.

use burn::config::Config;

use super::{Persona, Score, Scorer, encode_prompt, persona_prompt};
use crate::progress::Job;
use crate::text::{Engine, GenerateConfig, Prompt, ReplyStream, Sampling, seed_for};
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

    fn sampling(&self) -> Sampling {
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
    /// The statements in the prompt, the most relevant first.
    pub retrieved: Vec<String>,
    /// How faithful the answer is.
    #[serde(flatten)]
    pub score: Score,
}

/// A persona with a model that speaks for it and judges that retrieve and score.
#[derive(Debug)]
pub struct Character {
    persona: Persona,
    engine: Engine,
    scorer: Scorer,
    config: AnswerConfig,
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
        config.check()?;
        Ok(Self {
            persona,
            engine,
            scorer,
            config,
            n_answers: 0,
        })
    }

    /// Who the character is.
    pub fn persona(&self) -> &Persona {
        &self.persona
    }

    /// Whether a response is as long as one may be, so that it did not come to its end.
    pub fn is_cut(&self, response: &str) -> Result<bool> {
        let n_tokens = self.engine.tokenizer().encode_bare(response)?.len();
        Ok(n_tokens >= self.config.max_new_tokens)
    }

    /// Answers a message and scores the answer.
    ///
    /// Each message is answered by itself; the n-th one of a character draws the same random numbers every time.
    pub fn answer(&mut self, message: &str) -> Result<Answer> {
        self.answer_aloud(message, &Job::default(), &mut |_| {})
    }

    /// The same; `on_text` hears the answer as it grows, piece by piece.
    ///
    /// # Errors
    ///
    /// A message that leaves no room for an answer.
    pub fn answer_aloud(
        &mut self,
        message: &str,
        job: &Job,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer> {
        let message = message.trim();
        let config = &self.config;
        let (persona, tokenizer) = (&self.persona, self.engine.tokenizer());
        let table = self.scorer.retrieve(persona, message, job)?;
        let retrieved: Vec<&str> = table
            .retrieve_relevant(0, config.rag_top_k, config.min_relevance)
            .into_iter()
            .map(|idx| persona.statements[idx].as_str())
            .collect();
        let format = self.engine.format();
        let prompt = persona_prompt(format, &persona.name, &retrieved, message)?;
        let max_tokens = self.engine.max_tokens();
        let prompt = Prompt {
            ids: encode_prompt(tokenizer, &prompt, max_tokens, config.max_new_tokens)?,
            seeds: vec![seed_for(config.seed, &[self.n_answers])],
        };
        let generate = GenerateConfig {
            max_new_tokens: config.max_new_tokens,
            min_new_tokens: 0,
            sampling: config.sampling(),
            stop_ids: format.stop_ids().to_vec(),
        };
        let mut stream = ReplyStream::new(tokenizer);
        let mut failure = None;
        let mut spoken = format.spoken();
        let mut on_token = |_, token| {
            if !spoken.is_said(token) {
                return;
            }
            match stream.push(token) {
                Ok(new) if new.is_empty() => {}
                Ok(new) => on_text(&new),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        };
        let replies = self
            .engine
            .generate(&[prompt], &generate, job, &mut on_token)?;
        failure.map_or(Ok(()), Err)?;
        on_text(&stream.finish()?);
        let said = format.spoken().of(&replies[0]);
        let response = tokenizer.decode_reply(&said)?.trim().to_string();
        let quiet = job.quiet();
        let scores = self
            .scorer
            .score_retrieved(persona, message, &[&response], &table, &quiet)?;
        self.n_answers += 1;
        Ok(Answer {
            message: message.to_string(),
            response,
            retrieved: retrieved.into_iter().map(str::to_string).collect(),
            score: scores
                .into_iter()
                .next()
                .unwrap_or_else(|| super::score(Vec::new())),
        })
    }
}
