//! Continuous batching: a finished reply makes room for a waiting prompt.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::nn::{Decoder, DecoderInput, KvCache, Lengths};
use crate::progress::Job;
use crate::text::draft::{Draft, DraftModel};
use crate::text::prefixes::Prefixes;
use crate::text::running::{FinishReason, Reply, Row, Token, add_tokens, numbers};
use crate::text::{GenerateConfig, Prompt, Room};
use crate::{Result, kernels, parallel};

/// Generates replies to prompts, token by token.
///
/// A prompt is prefilled once, as soon as there is [`Room`] for all of its replies, in a batch with others of about its
/// length; its replies share its keys and values and join the running batch. The schedule depends on the prompts, the room
/// and the replies alone.
///
/// On a CPU, where a pass over a few tokens takes hardly longer than over one, a batch of one reply uses speculative
/// decoding: it checks tokens from prompt lookup or a [`DraftModel`] and keeps those that it would have chosen anyway.
#[derive(Debug)]
pub struct Generation<'a> {
    model: &'a Decoder,
    device: Device,
    lengths: Lengths,
    room: Room,
    waiting: VecDeque<Waiting>,
    rows: Vec<Row>,
    cache: KvCache, // of the same rows
    draft_model: Option<&'a Decoder>,
    ended: Vec<Reply>,
    n_replies: usize,
    prefixes: Option<Prefixes>,
}

/// A prompt whose replies have not started.
#[derive(Debug)]
struct Waiting {
    ids: Vec<i32>,
    config: Arc<GenerateConfig>,
    replies: Vec<(usize, u64)>,
}

impl Waiting {
    /// The most tokens that a reply may have, its prompt included.
    fn longest(&self) -> usize {
        self.ids.len() + self.config.max_new_tokens
    }
}

impl<'a> Generation<'a> {
    /// Queues all prompts, the longest first, so that few begin beside much longer ones.
    ///
    /// # Panics
    ///
    /// Panics if a prompt has no token.
    pub fn new(
        model: &'a Decoder,
        prompts: &[Prompt],
        config: &GenerateConfig,
        room: Room,
    ) -> Self {
        let mut generation = Self::empty(model, room);
        let config = Arc::new(config.clone());
        for prompt in prompts {
            generation.push(prompt, &config);
        }
        let waiting = generation.waiting.make_contiguous();
        waiting.sort_by_key(|prompt| std::cmp::Reverse(prompt.ids.len()));
        generation
    }

    /// A batch that has no prompt yet.
    pub fn empty(model: &'a Decoder, room: Room) -> Self {
        let device = model.device();
        let lengths = Lengths::on(&device);
        Self {
            model,
            device,
            lengths,
            room,
            waiting: VecDeque::new(),
            rows: Vec::new(),
            cache: KvCache::new(Vec::new()).with_lengths(lengths),
            draft_model: None,
            ended: Vec::new(),
            n_replies: 0,
            prefixes: None,
        }
    }

    /// Queues a prompt behind those that wait, with settings of its own; returns the indices of its replies.
    ///
    /// # Panics
    ///
    /// Panics if the prompt has no token.
    pub fn push(&mut self, prompt: &Prompt, config: &Arc<GenerateConfig>) -> Range<usize> {
        assert!(!prompt.ids.is_empty(), "a prompt has tokens");
        let first = self.n_replies;
        let seeds = prompt.seeds.iter().copied();
        let replies: Vec<(usize, u64)> = (first..).zip(seeds).collect();
        self.n_replies += replies.len();
        if config.max_new_tokens == 0 {
            self.ended
                .extend(replies.iter().map(|&(reply_idx, _)| Reply {
                    reply_idx,
                    ids: Vec::new(),
                    finish_reason: FinishReason::Length,
                }));
            return first..self.n_replies;
        }
        let longest = prompt.ids.len() + config.max_new_tokens;
        let most = self.room.rows.min(self.room.tokens / longest).max(1);
        self.waiting
            .extend(replies.chunks(most).map(|replies| Waiting {
                ids: prompt.ids.clone(),
                config: config.clone(),
                replies: replies.to_vec(),
            }));
        first..self.n_replies
    }

    /// Gives a reply up, wherever it is; it is not returned.
    pub fn cancel(&mut self, reply_idx: usize) {
        for prompt in &mut self.waiting {
            prompt.replies.retain(|&(idx, _)| idx != reply_idx);
        }
        self.waiting.retain(|prompt| !prompt.replies.is_empty());
        self.ended.retain(|reply| reply.reply_idx != reply_idx);
        if let Some(row_idx) = self
            .rows
            .iter()
            .position(|row| row.reply.reply_idx == reply_idx)
        {
            self.end(row_idx);
            self.ended.pop();
        }
    }

    /// Keeps what the model made of the last texts, up to so many tokens, so that a prompt that begins like one of them goes
    /// through the model only from where it differs.
    pub fn with_prefixes(self, tokens: usize) -> Self {
        Self {
            prefixes: Some(Prefixes::new(tokens)),
            ..self
        }
    }

    /// Sets the draft model, which speeds up a batch of one reply and does not change the replies.
    pub fn with_draft_model(self, draft_model: &'a DraftModel) -> Self {
        Self {
            draft_model: draft_model.model.as_ref(),
            ..self
        }
    }

    /// Whether every reply was returned.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.rows.is_empty() && self.ended.is_empty()
    }

    /// Starts the prompts that fit, adds a token to every reply and returns the replies that are finished.
    ///
    /// Calls `on_token` for each new token with the index of its reply.
    pub fn step(
        &mut self,
        job: &Job,
        on_token: &mut dyn FnMut(usize, &Token),
    ) -> Result<Vec<Reply>> {
        loop {
            job.check()?;
            let prompts = self.admitted();
            if prompts.is_empty() {
                break;
            }
            let mut fresh = Vec::with_capacity(prompts.len());
            for prompt in prompts {
                let known = self.prefixes.as_mut();
                match known.and_then(|prefixes| prefixes.take(&prompt.ids)) {
                    Some(cache) => self.begin(&[prompt], cache, on_token)?,
                    None => fresh.push(prompt),
                }
            }
            if !fresh.is_empty() {
                let seq = fresh.iter().map(|prompt| prompt.ids.len()).max();
                let seq = self.lengths.round(seq.unwrap_or(0));
                let padded = fresh.iter().map(|prompt| seq - prompt.ids.len());
                let cache = KvCache::new(padded.collect()).with_lengths(self.lengths);
                self.begin(&fresh, cache, on_token)?;
            }
        }
        if self.rows.len() == 1 && kernels::is_cpu(&self.device) {
            self.go_on_alone(on_token)?;
        } else if !self.rows.is_empty() {
            self.go_on(on_token)?;
        }
        Ok(std::mem::take(&mut self.ended))
    }

    /// Takes the next prompts from the queue, if there is room.
    fn admitted(&mut self) -> Vec<Waiting> {
        /// The most tokens in a prefill batch.
        const BATCH_TOKENS: usize = 2048;
        let free = self.room.rows.saturating_sub(self.rows.len());
        let mut columns = self.rows.iter().map(|row| row.longest).max().unwrap_or(0);
        let (mut rows, mut count) = (self.rows.len(), 0);
        let mut full = false;
        for prompt in &self.waiting {
            rows += prompt.replies.len();
            columns = columns.max(prompt.longest());
            let alone = rows == prompt.replies.len();
            full = !alone && (rows > self.room.rows || rows * columns > self.room.tokens);
            let most = self.waiting[0].ids.len();
            let fitting = 4 * prompt.ids.len() >= 3 * most && (count + 1) * most <= BATCH_TOKENS;
            if full || (count > 0 && !fitting) {
                break;
            }
            count += 1;
        }
        // Wait for more replies to end, so that more prompts are prefilled together.
        if full && free < self.room.rows / 8 {
            count = 0;
        }
        self.waiting.drain(..count).collect()
    }

    /// The most replies that will run at once, and the most tokens they may have.
    fn coming(&self) -> (usize, usize) {
        let waiting = self.waiting.iter().map(|prompt| prompt.replies.len());
        let rows = self.rows.len() + waiting.sum::<usize>();
        let tokens = self.rows.iter().map(|row| row.longest).max().unwrap_or(0);
        let most = self.room.rows.min(self.room.tokens / tokens.max(1));
        (rows.min(most), tokens)
    }

    /// Prefills prompts behind what a cache has of them already, and chooses the first token of their replies.
    fn begin(
        &mut self,
        prompts: &[Waiting],
        mut cache: KvCache,
        on_token: &mut dyn FnMut(usize, &Token),
    ) -> Result<()> {
        let known = cache.seq_len();
        let seq = prompts.iter().map(|prompt| prompt.ids.len() - known).max();
        let seq = match known {
            0 => self.lengths.round(seq.unwrap_or(0)),
            _ => seq.unwrap_or(0),
        };
        let ids = prompts.iter().flat_map(|prompt| {
            let new = &prompt.ids[known..];
            std::iter::repeat_n(0, seq - new.len()).chain(new.iter().copied())
        });
        let ids = TensorData::new(ids.collect::<Vec<i32>>(), [prompts.len(), seq]);
        let logits = logits(self.model, ids, &mut cache, 1, &self.device);
        if let Some(prefixes) = &mut self.prefixes {
            for (row_idx, prompt) in prompts.iter().enumerate() {
                prefixes.keep(prompt.ids.clone(), &cache, row_idx);
            }
        }

        let mut begun = Vec::new();
        let mut prompt_of = Vec::new();
        for (prompt_idx, prompt) in prompts.iter().enumerate() {
            for &(reply_idx, seed) in &prompt.replies {
                begun.push(Row {
                    reply: Reply {
                        reply_idx,
                        ids: Vec::new(),
                        finish_reason: FinishReason::Length,
                    },
                    config: prompt.config.clone(),
                    rng: ChaCha8Rng::seed_from_u64(seed),
                    draft: Draft::behind(&prompt.ids),
                    longest: prompt.longest(),
                });
                prompt_of.push(prompt_idx);
            }
        }
        let goes_on = add_tokens(logits, &mut begun, &prompt_of, on_token)?;
        let mut joining = Vec::with_capacity(begun.len());
        for ((row, prompt_idx), goes_on) in begun.into_iter().zip(prompt_of).zip(goes_on) {
            if goes_on {
                self.rows.push(row);
                joining.push(prompt_idx);
            } else {
                self.ended.push(row.reply);
            }
        }
        let (rows, tokens) = self.coming();
        self.cache.reserve(rows, tokens);
        self.cache.join(&cache, &joining);
        Ok(())
    }

    /// Runs the last token of every reply through the model and chooses the next.
    fn go_on(&mut self, on_token: &mut dyn FnMut(usize, &Token)) -> Result<()> {
        let batch = self.rows.len();
        let ids = self.rows.iter().filter_map(|row| row.reply.ids.last());
        let ids = TensorData::new(ids.copied().collect::<Vec<i32>>(), [batch, 1]);
        let logits = self.advance(self.model, ids, 1);
        let own: Vec<usize> = (0..batch).collect();
        let goes_on = add_tokens(logits, &mut self.rows, &own, on_token)?;
        for row_idx in (0..batch).rev().filter(|&row_idx| !goes_on[row_idx]) {
            self.end(row_idx);
        }
        Ok(())
    }

    /// Runs the last token of the only reply and the proposed tokens through the model, and keeps those that the model
    /// chooses, too.
    fn go_on_alone(&mut self, on_token: &mut dyn FnMut(usize, &Token)) -> Result<()> {
        let row = &self.rows[0];
        let said = row.reply.ids.len();
        let left = row.config.max_new_tokens - said;
        let looked_up = row.draft.look_up(left - 1);
        let wanted = row.draft.wanted().min(left - 1);
        let from_model = match self.draft_model {
            Some(model) if looked_up.len() <= wanted => self.draft(model, wanted)?,
            _ => Vec::new(),
        };
        let drafted = if from_model.is_empty() {
            &looked_up
        } else {
            &from_model
        };

        let n_drafted = drafted.len();
        let ids = self.rows[0].reply.ids.last().into_iter().chain(drafted);
        let ids = TensorData::new(ids.copied().collect::<Vec<i32>>(), [1, 1 + n_drafted]);
        let logits = self.advance(self.model, ids, 1 + n_drafted);
        for right in 0..=n_drafted {
            let next = logits.clone().narrow(0, right, 1);
            if !add_tokens(next, &mut self.rows, &[0], on_token)?[0] {
                self.cache.forget(n_drafted - right);
                self.end(0);
                break;
            }
            let Row { reply, draft, .. } = &mut self.rows[0];
            if drafted.get(right) != reply.ids.last() {
                draft.compare_looked_up(&looked_up, &reply.ids[said..]);
                draft.compare_from_model(&from_model, &reply.ids[said..]);
                self.cache.forget(n_drafted - right);
                break;
            }
        }
        Ok(())
    }

    /// Drafts at most so many tokens after the last token of the only reply, none of them a stop token.
    fn draft(&mut self, model: &Decoder, wanted: usize) -> Result<Vec<i32>> {
        let mut rng = self.rows[0].rng.clone();
        let mut last = self.rows[0].reply.ids.last().copied().unwrap_or_default();
        let (mut drafted, mut passes) = (Vec::with_capacity(wanted), 0);
        while drafted.len() < wanted {
            let logits = self.advance(model, TensorData::new(vec![last], [1, 1]), 1);
            passes += 1;
            let mut logits = logits.cast(DType::F32).into_data();
            let row = &self.rows[0];
            last = row.choose(numbers(&mut logits)?, &mut rng);
            if row.config.stop_ids.contains(&last) {
                break;
            }
            drafted.push(last);
        }
        self.cache.forget(passes);
        Ok(drafted)
    }

    /// Removes the finished reply of a row.
    fn end(&mut self, row_idx: usize) {
        let row = self.rows.swap_remove(row_idx);
        if let Some(prefixes) = &mut self.prefixes {
            let known = self.cache.row_len(row_idx);
            let text = row.draft.into_tokens();
            if let Some(seen) = text.get(..known) {
                prefixes.keep(seen.to_vec(), &self.cache, row_idx);
            }
        }
        self.ended.push(row.reply);
        self.cache.swap_remove(row_idx);
    }

    /// Adds tokens to the cache, the same number in every row; returns the [logits] after the last of them.
    fn advance(&mut self, model: &Decoder, ids: TensorData, n_last: usize) -> Tensor<2> {
        let (device, cache) = (&self.device, &mut self.cache);
        parallel::awake(device, || logits(model, ids, cache, n_last, device))
    }
}

/// Computes the logits after the last `n_last` tokens of every row, `[rows · n_last, vocab_size]`.
fn logits(
    model: &Decoder,
    ids: TensorData,
    cache: &mut KvCache,
    n_last: usize,
    device: &Device,
) -> Tensor<2> {
    let ids = Tensor::<2, Int>::from_data(ids, device);
    let [rows, seq] = ids.dims();
    let last = (0..rows).flat_map(|row| (row + 1) * seq - n_last..(row + 1) * seq);
    let last: Vec<i32> = last.map(|token| token as i32).collect();
    let last = Tensor::from_data(TensorData::new(last, [rows * n_last]), device);
    let input = DecoderInput::behind(cache, ids);
    let hidden = model.hidden_states_at(input, Some(cache), last);
    model.logits(hidden)
}

#[cfg(test)]
mod tests;
