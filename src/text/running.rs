//! A running reply, and how its next token is chosen: on the host, or on the device.

use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::text::GenerateConfig;
use crate::text::draft::Draft;
use crate::text::sampling::choose_on_device;
use crate::{Error, Result, kernels};

/// A finished reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its index, in the order of prompts and seeds.
    pub reply_idx: usize,
    /// Its tokens.
    pub ids: Vec<i32>,
}

/// A running reply.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) reply: Reply,
    pub(super) rng: ChaCha8Rng,
    pub(super) draft: Draft,
    /// The most tokens it may have, its prompt included.
    pub(super) longest: usize,
}

/// Chooses a token for every row from the logits at its place, and returns which rows continue.
///
/// # Shapes
///
/// - logits: `[places, vocab_size]`
pub(super) fn add_tokens(
    config: &GenerateConfig,
    logits: Tensor<2>,
    rows: &mut [Row],
    places: &[usize],
    on_token: &mut dyn FnMut(usize, i32),
) -> Result<Vec<bool>> {
    let logits = logits.cast(DType::F32);
    let tokens = if kernels::is_cpu(&logits.device()) {
        choose_on_host(config, logits, rows, places)?
    } else {
        choose_rows_on_device(config, logits, rows, places)
    };
    let goes_on = rows.iter_mut().zip(tokens).map(|(row, token)| {
        if config.stop_ids.contains(&token) {
            return false;
        }
        row.reply.ids.push(token);
        row.draft.push(token);
        on_token(row.reply.reply_idx, token);
        row.reply.ids.len() < config.max_new_tokens
    });
    Ok(goes_on.collect())
}

/// Chooses tokens on the host, from a copy of the logits.
fn choose_on_host(
    config: &GenerateConfig,
    logits: Tensor<2>,
    rows: &mut [Row],
    places: &[usize],
) -> Result<Vec<i32>> {
    let [_, vocab_size] = logits.dims();
    let mut logits = logits.into_data();
    let logits = numbers(&mut logits)?;
    let of = |place: &usize| place * vocab_size..(place + 1) * vocab_size;
    for (row, place) in rows.iter().zip(places) {
        forbid_stops(config, &mut logits[of(place)], row.reply.ids.len());
    }
    let choose = |(row, place): (&mut Row, &usize)| {
        config.sampling.choose(&logits[of(place)], &mut row.rng) as i32
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

/// Rules out stop tokens while the reply is shorter than `min_new_tokens`.
pub(super) fn forbid_stops(config: &GenerateConfig, logits: &mut [f32], said: usize) {
    if said < config.min_new_tokens {
        for stop in stops(config, logits.len()) {
            logits[stop] = f32::NEG_INFINITY;
        }
    }
}

/// Chooses tokens on the device; only the tokens are copied to the host.
fn choose_rows_on_device(
    config: &GenerateConfig,
    logits: Tensor<2>,
    rows: &mut [Row],
    places: &[usize],
) -> Vec<i32> {
    let [n_places, vocab_size] = logits.dims();
    let (device, n_rows) = (logits.device(), rows.len());
    let mut logits = logits;
    if !(0..n_places).eq(places.iter().copied()) {
        let places: Vec<i32> = places.iter().map(|&place| place as i32).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n_rows]), &device);
        logits = logits.select(0, places);
    }
    let is_short = |row: &Row| row.reply.ids.len() < config.min_new_tokens;
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
    let shares = rows.iter_mut().map(|row| row.rng.random()).collect();
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
