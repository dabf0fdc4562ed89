//! A running reply, and how its next token is chosen: on the host, or on the device.

use std::sync::Arc;

use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::text::GenerateConfig;
use crate::text::draft::Draft;
use crate::text::sampling::choose_on_device;
use crate::{Error, Result, kernels};

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// At a stop token.
    Stop,
    /// At its longest length.
    Length,
}

/// A finished reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its index, in the order of prompts and seeds.
    pub reply_idx: usize,
    /// Its tokens.
    pub ids: Vec<i32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A token of a reply that is being made.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: i32,
    /// How likely it was, if that was asked for.
    pub logprobs: Option<Logprobs>,
}

/// How likely a token was, and what else was, by the model's own distribution before any setting of the sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// The token's.
    pub chosen: f32,
    /// The likeliest tokens and theirs, the likeliest first.
    pub top: Vec<(i32, f32)>,
}

impl Logprobs {
    /// Those of a token, from its row of logits.
    fn of(id: i32, logits: &[f32], n_top: usize) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits
            .iter()
            .map(|logit| f64::from(logit - largest).exp())
            .sum();
        let logprob = |logit: f32| (f64::from(logit - largest) - sum.ln()) as f32;
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        let n_top = n_top.min(logits.len());
        if n_top > 0 && n_top < order.len() {
            order.select_nth_unstable_by(n_top - 1, by_logit);
        }
        order.truncate(n_top);
        order.sort_unstable_by(by_logit);
        Self {
            chosen: logprob(logits[id as usize]),
            top: order
                .into_iter()
                .map(|id| (id as i32, logprob(logits[id])))
                .collect(),
        }
    }
}

/// A running reply.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) reply: Reply,
    pub(super) config: Arc<GenerateConfig>,
    pub(super) rng: ChaCha8Rng,
    pub(super) draft: Draft,
    /// The most tokens it may have, its prompt included.
    pub(super) longest: usize,
}

impl Row {
    /// A copy of a row of logits with what the settings forbid, favour or disfavour now; none if that is nothing.
    fn changed(&self, logits: &[f32]) -> Option<Vec<f32>> {
        let (config, said) = (&self.config, &self.reply.ids);
        let changes = config.changes(said);
        if changes.is_empty() && said.len() >= config.min_new_tokens {
            return None;
        }
        let mut logits = logits.to_vec();
        for (id, change) in changes {
            let place = usize::try_from(id).ok();
            if let Some(logit) = place.and_then(|place| logits.get_mut(place)) {
                *logit += change;
            }
        }
        if said.len() < config.min_new_tokens {
            for stop in stops(config, logits.len()) {
                logits[stop] = f32::NEG_INFINITY;
            }
        }
        Some(logits)
    }

    /// The token that would come next, without taking it.
    pub(super) fn choose(&self, logits: &[f32], rng: &mut ChaCha8Rng) -> i32 {
        let changed = self.changed(logits);
        let logits = changed.as_deref().unwrap_or(logits);
        self.config.sampling.choose(logits, rng) as i32
    }
}

/// Chooses a token for every row from the logits at its place, and returns which rows continue.
///
/// # Shapes
///
/// - logits: `[places, vocab_size]`
pub(super) fn add_tokens(
    logits: Tensor<2>,
    rows: &mut [Row],
    places: &[usize],
    on_token: &mut dyn FnMut(usize, &Token),
) -> Result<Vec<bool>> {
    let logits = logits.cast(DType::F32);
    let tokens = if kernels::is_cpu(&logits.device()) {
        choose_on_host(logits, rows, places)?
    } else {
        choose_on_device_each(logits, rows, places)?
    };
    let goes_on = rows.iter_mut().zip(tokens).map(|(row, token)| {
        if row.config.stop_ids.contains(&token.id) {
            row.reply.finish_reason = FinishReason::Stop;
            return false;
        }
        row.reply.ids.push(token.id);
        row.draft.push(token.id);
        on_token(row.reply.reply_idx, &token);
        row.reply.ids.len() < row.config.max_new_tokens
    });
    Ok(goes_on.collect())
}

/// Chooses tokens on the host, from a copy of the logits.
fn choose_on_host(logits: Tensor<2>, rows: &mut [Row], places: &[usize]) -> Result<Vec<Token>> {
    let [_, vocab_size] = logits.dims();
    let mut logits = logits.into_data();
    let logits = numbers(&mut logits)?;
    let choose = |(row, place): (&mut Row, &usize)| {
        let logits = &logits[place * vocab_size..(place + 1) * vocab_size];
        let mut rng = row.rng.clone();
        let id = row.choose(logits, &mut rng);
        row.rng = rng;
        let of = |n_top| Logprobs::of(id, logits, n_top);
        Token {
            id,
            logprobs: row.config.top_logprobs.map(of),
        }
    };
    Ok(if rows.len() > 1 {
        rows.par_iter_mut().zip(places).map(choose).collect()
    } else {
        rows.iter_mut().zip(places).map(choose).collect()
    })
}

/// Logits copied from the device, which must be numbers.
pub(super) fn numbers(logits: &mut TensorData) -> Result<&mut [f32]> {
    let logits = logits
        .as_mut_slice::<f32>()
        .map_err(|error| Error::Model(format!("the logits cannot be read: {error:?}")))?;
    if logits.iter().any(|logit| logit.is_nan()) {
        return Err(Error::Model(
            "the model's logits are not numbers: its weights or the adapter's are damaged, or the adapter's training has \
             diverged; take others, or train with a lower `learning_rate` or `lora_alpha`"
                .to_string(),
        ));
    }
    Ok(logits)
}

/// Chooses tokens on the device, together for all rows that have the same settings; only the tokens are copied to the host,
/// and the logits of rows that ask for log-probabilities.
fn choose_on_device_each(
    logits: Tensor<2>,
    rows: &mut [Row],
    places: &[usize],
) -> Result<Vec<Token>> {
    let shares: Vec<f32> = rows.iter_mut().map(|row| row.rng.random()).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (row_idx, row) in rows.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| rows[group[0]].config == row.config;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row_idx),
            None => groups.push(vec![row_idx]),
        }
    }
    let mut tokens: Vec<Option<Token>> = vec![None; rows.len()];
    for group in groups {
        let of_group: Vec<&Row> = group.iter().map(|&row_idx| &rows[row_idx]).collect();
        let at: Vec<usize> = group.iter().map(|&row_idx| places[row_idx]).collect();
        let shares = group.iter().map(|&row_idx| shares[row_idx]).collect();
        let logits = picked(&logits, &at);
        let chosen = choose_alike(logits.clone(), &of_group, shares);
        let mut logprobs = vec![None; group.len()];
        if let Some(n_top) = of_group[0].config.top_logprobs {
            let [_, vocab_size] = logits.dims();
            let mut data = logits.into_data();
            let rows = numbers(&mut data)?.chunks(vocab_size).zip(&chosen);
            logprobs = rows
                .map(|(logits, &id)| Some(Logprobs::of(id, logits, n_top)))
                .collect();
        }
        for ((row_idx, id), logprobs) in group.into_iter().zip(chosen).zip(logprobs) {
            tokens[row_idx] = Some(Token { id, logprobs });
        }
    }
    Ok(tokens.into_iter().flatten().collect())
}

/// The logits at some places.
fn picked(logits: &Tensor<2>, places: &[usize]) -> Tensor<2> {
    let [n_places, _] = logits.dims();
    if (0..n_places).eq(places.iter().copied()) {
        return logits.clone();
    }
    let picked: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let picked = TensorData::new(picked, [places.len()]);
    let picked = Tensor::<1, Int>::from_data(picked, &logits.device());
    logits.clone().select(0, picked)
}

/// Chooses the tokens of rows with the same settings.
fn choose_alike(mut logits: Tensor<2>, rows: &[&Row], shares: Vec<f32>) -> Vec<i32> {
    let [n_rows, vocab_size] = logits.dims();
    let (device, config) = (logits.device(), &rows[0].config);
    let changes: Vec<_> = rows
        .iter()
        .map(|row| config.changes(&row.reply.ids))
        .collect();
    if changes.iter().any(|changes| !changes.is_empty()) {
        let mut dense = vec![0.0_f32; n_rows * vocab_size];
        for (row, changes) in dense.chunks_mut(vocab_size).zip(&changes) {
            for (&id, change) in changes {
                let place = usize::try_from(id).ok();
                if let Some(logit) = place.and_then(|place| row.get_mut(place)) {
                    *logit = *change;
                }
            }
        }
        let dense = TensorData::new(dense, [n_rows, vocab_size]);
        logits = logits + Tensor::from_data(dense, (&device, DType::F32));
    }
    let is_short = |row: &&Row| row.reply.ids.len() < config.min_new_tokens;
    if rows.iter().any(is_short) {
        let short: Vec<bool> = rows.iter().map(is_short).collect();
        let short = Tensor::<2, Bool>::from_data(TensorData::new(short, [n_rows, 1]), &device);
        for stop in stops(config, vocab_size) {
            let place = [0..n_rows, stop..stop + 1];
            let without = logits.clone().slice(place.clone());
            let without = without.mask_fill(short.clone(), f32::NEG_INFINITY);
            logits = logits.slice_assign(place, without);
        }
    }
    let chosen = choose_on_device(logits, config.sampling, shares);
    chosen.into_data().iter().collect()
}

/// The stop tokens that are in the vocabulary.
fn stops(config: &GenerateConfig, vocab_size: usize) -> impl Iterator<Item = usize> {
    let stops = config.stop_ids.iter().copied();
    stops
        .filter_map(|stop| usize::try_from(stop).ok())
        .filter(move |&stop| stop < vocab_size)
}
