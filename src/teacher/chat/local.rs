//! A language model on this machine as chat model.

use std::sync::{Mutex, PoisonError};

use crate::progress::Job;
use crate::teacher::chat::model::{ChatModel, Completion, Question, Usage};
use crate::text::{Engine, FinishReason, GenerateConfig, Message, Prompt};
use crate::{Error, Result};

/// A model that answers greedily, one question after the other.
#[derive(Debug)]
pub struct LocalModel {
    name: String,
    engine: Engine,
    job: Job,
    usage: Mutex<Usage>,
}

impl LocalModel {
    /// Makes a chat model of a language model, which is loaded at the first question; `name` is its name in records.
    pub fn new(name: &str, engine: Engine, job: &Job) -> Self {
        Self {
            name: name.to_string(),
            engine,
            job: job.clone(),
            usage: Mutex::default(),
        }
    }

    /// The ids of a conversation.
    fn encode(&self, messages: &[Message]) -> Result<Vec<i32>> {
        let text = self.engine.format().prompt(messages)?;
        self.engine.tokenizer().encode(&text)
    }
}

impl ChatModel for LocalModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn concurrency(&self) -> usize {
        1
    }

    fn complete(&self, question: &Question) -> Result<Completion> {
        let ids = self.encode(&question.messages)?;
        let n_prompt = ids.len();
        let max_tokens = self.engine.max_tokens();
        let most = max_tokens
            .saturating_sub(n_prompt)
            .min(question.max_tokens as usize);
        if most == 0 {
            return Err(Error::Teacher(format!(
                "{} reads at most {max_tokens} tokens, but the prompt for the task {} has {n_prompt}; use a model with a longer context",
                self.name, question.task
            )));
        }
        let config = GenerateConfig {
            stop_ids: self.engine.format().stop_ids().to_vec(),
            ..GenerateConfig::new(most)
        };
        let prompt = Prompt {
            ids,
            seeds: vec![0],
        };
        let job = self.job.quiet();
        let replies = self
            .engine
            .generate(&[prompt], &config, &job, &mut |_, _| {})?;
        let said = self.engine.format().spoken().of(&replies[0].ids);
        let reply = self.engine.tokenizer().decode_reply(&said)?;
        let completion_tokens = replies[0].ids.len() as u64;
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.requests += 1;
        usage.answered += 1;
        usage.prompt_tokens += n_prompt as u64;
        usage.completion_tokens += completion_tokens;
        Ok(Completion {
            reply,
            is_cut: replies[0].finish_reason == FinishReason::Length,
            prompt_tokens: n_prompt as u64,
            completion_tokens,
            logprobs: Vec::new(),
        })
    }

    fn rest(&self) {
        self.engine.release();
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
