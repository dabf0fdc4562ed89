//! Continuous batching: a finished reply makes room for a waiting prompt.

use std::collections::VecDeque;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::nn::{Decoder, DecoderInput, KvCache, Lengths};
use crate::progress::Job;
use crate::text::draft::{Draft, DraftModel};
use crate::text::running::{Reply, Row, add_tokens, forbid_stops, numbers};
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
    config: &'a GenerateConfig,
    room: Room,
    waiting: VecDeque<Waiting>, // the longest first
    rows: Vec<Row>,
    cache: KvCache, // of the same rows
    draft_model: Option<&'a Decoder>,
    ended: Vec<Reply>,
}

/// A prompt whose replies have not started.
#[derive(Debug)]
struct Waiting {
    ids: Vec<i32>,
    replies: Vec<(usize, u64)>,
}

impl<'a> Generation<'a> {
    /// Queues all prompts.
    ///
    /// # Panics
    ///
    /// Panics if a prompt has no token.
    pub fn new(
        model: &'a Decoder,
        prompts: &[Prompt],
        config: &'a GenerateConfig,
        room: Room,
    ) -> Self {
        let mut waiting = Vec::with_capacity(prompts.len());
        let mut next_idx = 0;
        for prompt in prompts {
            assert!(!prompt.ids.is_empty(), "a prompt has tokens");
            let seeds = prompt.seeds.iter().copied();
            let replies: Vec<(usize, u64)> = (next_idx..).zip(seeds).collect();
            next_idx += replies.len();
            let longest = prompt.ids.len() + config.max_new_tokens;
            let most = room.rows.min(room.tokens / longest.max(1)).max(1);
            waiting.extend(replies.chunks(most).map(|replies| Waiting {
                ids: prompt.ids.clone(),
                replies: replies.to_vec(),
            }));
        }
        waiting.sort_by_key(|prompt| std::cmp::Reverse(prompt.ids.len()));
        let mut ended = Vec::new();
        if config.max_new_tokens == 0 {
            waiting.clear();
            ended.extend((0..next_idx).map(|reply_idx| Reply {
                reply_idx,
                ids: Vec::new(),
            }));
        }
        let device = model.device();
        let lengths = Lengths::on(&device);
        Self {
            model,
            device,
            lengths,
            config,
            room,
            waiting: waiting.into(),
            rows: Vec::new(),
            cache: KvCache::new(Vec::new()).with_lengths(lengths),
            draft_model: None,
            ended,
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
    pub fn step(&mut self, job: &Job, on_token: &mut dyn FnMut(usize, i32)) -> Result<Vec<Reply>> {
        loop {
            job.check()?;
            let prompts = self.admitted();
            if prompts.is_empty() {
                break;
            }
            self.begin(&prompts, on_token)?;
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
        let longest = |prompt: &Waiting| prompt.ids.len() + self.config.max_new_tokens;
        let mut columns = self.rows.iter().map(|row| row.longest).max().unwrap_or(0);
        let (mut rows, mut count) = (self.rows.len(), 0);
        let mut full = false;
        for prompt in &self.waiting {
            rows += prompt.replies.len();
            columns = columns.max(longest(prompt));
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

    /// Prefills prompts and chooses the first token of their replies.
    fn begin(&mut self, prompts: &[Waiting], on_token: &mut dyn FnMut(usize, i32)) -> Result<()> {
        let seq = prompts.iter().map(|prompt| prompt.ids.len()).max();
        let seq = self.lengths.round(seq.unwrap_or(0));
        let padding = |prompt: &Waiting| seq - prompt.ids.len();
        let ids = prompts.iter().flat_map(|prompt| {
            std::iter::repeat_n(0, padding(prompt)).chain(prompt.ids.iter().copied())
        });
        let ids = TensorData::new(ids.collect::<Vec<i32>>(), [prompts.len(), seq]);
        let padded = prompts.iter().map(padding).collect();
        let mut cache = KvCache::new(padded).with_lengths(self.lengths);
        let logits = logits(self.model, ids, &mut cache, 1, &self.device);

        let mut begun = Vec::new();
        let mut prompt_of = Vec::new();
        for (prompt_idx, prompt) in prompts.iter().enumerate() {
            for &(reply_idx, seed) in &prompt.replies {
                begun.push(Row {
                    reply: Reply {
                        reply_idx,
                        ids: Vec::new(),
                    },
                    rng: ChaCha8Rng::seed_from_u64(seed),
                    draft: Draft::behind(&prompt.ids),
                    longest: prompt.ids.len() + self.config.max_new_tokens,
                });
                prompt_of.push(prompt_idx);
            }
        }
        let goes_on = add_tokens(self.config, logits, &mut begun, &prompt_of, on_token)?;
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
    fn go_on(&mut self, on_token: &mut dyn FnMut(usize, i32)) -> Result<()> {
        let batch = self.rows.len();
        let ids = self.rows.iter().filter_map(|row| row.reply.ids.last());
        let ids = TensorData::new(ids.copied().collect::<Vec<i32>>(), [batch, 1]);
        let logits = self.advance(self.model, ids, 1);
        let own: Vec<usize> = (0..batch).collect();
        let goes_on = add_tokens(self.config, logits, &mut self.rows, &own, on_token)?;
        for row_idx in (0..batch).rev().filter(|&row_idx| !goes_on[row_idx]) {
            self.end(row_idx);
        }
        Ok(())
    }

    /// Runs the last token of the only reply and the proposed tokens through the model, and keeps those that the model
    /// chooses, too.
    fn go_on_alone(&mut self, on_token: &mut dyn FnMut(usize, i32)) -> Result<()> {
        let row = &self.rows[0];
        let said = row.reply.ids.len();
        let left = self.config.max_new_tokens - said;
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
            if !add_tokens(self.config, next, &mut self.rows, &[0], on_token)?[0] {
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
        let row = &self.rows[0];
        let (mut rng, said) = (row.rng.clone(), row.reply.ids.len());
        let mut last = row.reply.ids.last().copied().unwrap_or_default();
        let (mut drafted, mut passes) = (Vec::with_capacity(wanted), 0);
        while drafted.len() < wanted {
            let logits = self.advance(model, TensorData::new(vec![last], [1, 1]), 1);
            passes += 1;
            let mut logits = logits.cast(DType::F32).into_data();
            let logits = numbers(&mut logits)?;
            forbid_stops(self.config, logits, said + drafted.len());
            last = self.config.sampling.choose(logits, &mut rng) as i32;
            if self.config.stop_ids.contains(&last) {
                break;
            }
            drafted.push(last);
        }
        self.cache.forget(passes);
        Ok(drafted)
    }

    /// Removes the finished reply of a row.
    fn end(&mut self, row_idx: usize) {
        self.ended.push(self.rows.swap_remove(row_idx).reply);
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
