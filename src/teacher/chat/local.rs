//! A Gemma on this machine as chat model.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use burn::tensor::{DType, Device};

use crate::nn::Gemma;
use crate::progress::Job;
use crate::teacher::chat::model::{ChatModel, Completion, Question};
use crate::teacher::chat::openai::Usage;
use crate::text::{
    ChatTemplate, DraftModel, GenerateConfig, Message, Prompt, Sampling, Tokenizer, generate,
};
use crate::{Error, Result, files};

/// A Gemma that answers greedily, one question after the other.
#[derive(Debug)]
pub struct LocalGemma {
    name: String,
    folder: PathBuf,
    device: Device,
    /// The weights, while questions are asked.
    model: Mutex<Option<(Gemma, DraftModel)>>,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    max_tokens: usize,
    stop_ids: Vec<i32>,
    job: Job,
    usage: Mutex<Usage>,
}

impl LocalGemma {
    /// The Gemma of a folder, whose weights are read at the first question; `name` is what it is called.
    pub fn new(name: &str, folder: &Path, device: &Device, job: &Job) -> Result<Self> {
        let tokenizer = Tokenizer::load(folder)?;
        let mut stop_ids = files::read_eos_token_ids(folder)?;
        stop_ids.extend(tokenizer.token_id("<end_of_turn>"));
        Ok(Self {
            name: name.to_string(),
            folder: folder.to_path_buf(),
            device: device.clone(),
            model: Mutex::new(None),
            template: ChatTemplate::load(folder)?,
            max_tokens: files::read_gemma_config(folder)?.max_position_embeddings,
            tokenizer,
            stop_ids,
            job: job.clone(),
            usage: Mutex::default(),
        })
    }

    /// The ids of a conversation: through the checkpoint's chat template, or in Gemma's turns if it has none.
    fn encode(&self, messages: &[Message]) -> Result<Vec<i32>> {
        let turns = turns(messages);
        match &self.template {
            Some(template) => self.tokenizer.encode_bare(&template.render(&turns, true)?),
            None => {
                let turn = |message: &Message| {
                    let role = match message.role.as_str() {
                        "assistant" => "model",
                        other => other,
                    };
                    format!("<start_of_turn>{role}\n{}<end_of_turn>\n", message.content)
                };
                let text: String = turns.iter().map(turn).collect();
                self.tokenizer.encode(&(text + "<start_of_turn>model\n"))
            }
        }
    }
}

/// A conversation without a system's turn, which Gemma does not know: it is put before the first of the user.
fn turns(messages: &[Message]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::new();
    let mut before = String::new();
    for message in messages {
        if message.role == "system" {
            before += &format!("{}\n\n", message.content);
        } else {
            let content = std::mem::take(&mut before) + &message.content;
            let role = message.role.clone();
            turns.push(Message { role, content });
        }
    }
    turns
}

impl ChatModel for LocalGemma {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn concurrency(&self) -> usize {
        1
    }

    fn complete(&self, question: &Question) -> Result<Completion> {
        let ids = self.encode(&question.messages)?;
        let n_prompt = ids.len();
        let most = self
            .max_tokens
            .saturating_sub(n_prompt)
            .min(question.max_tokens as usize);
        if most == 0 {
            return Err(Error::Teacher(format!(
                "{} reads {} tokens, but what it is asked for {} has {n_prompt}",
                self.name, self.max_tokens, question.task
            )));
        }
        let config = GenerateConfig {
            max_new_tokens: most,
            min_new_tokens: 0,
            sampling: Sampling::Greedy,
            stop_ids: self.stop_ids.clone(),
        };
        let prompt = Prompt {
            ids,
            seeds: vec![0],
        };
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, draft_model) = match &mut *model {
            Some(model) => model,
            unread => {
                let model = files::load_gemma(&self.folder, DType::F32, &self.device)?;
                let draft_model = DraftModel::of(&model);
                unread.insert((model, draft_model))
            }
        };
        let job = self.job.quiet();
        let replies = generate(model, draft_model, &[prompt], &config, &job, &mut |_, _| {})?;
        let reply = self.tokenizer.decode(&replies[0])?;
        let completion_tokens = replies[0].len() as u64;
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.requests += 1;
        usage.answered += 1;
        usage.prompt_tokens += n_prompt as u64;
        usage.completion_tokens += completion_tokens;
        Ok(Completion {
            reply,
            is_cut: replies[0].len() == most,
            prompt_tokens: n_prompt as u64,
            completion_tokens,
            logprobs: Vec::new(),
        })
    }

    fn rest(&self) {
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_says_comes_before_what_the_user_says() {
        let message = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        let told = [
            message("system", "Be brief."),
            message("user", "Who?"),
            message("assistant", "I."),
            message("user", "Why?"),
        ];
        let [first, second, third] = &turns(&told)[..] else {
            panic!("three turns are left");
        };
        assert_eq!(*first, message("user", "Be brief.\n\nWho?"));
        assert_eq!((second, third), (&told[2], &told[3]));
    }
}
